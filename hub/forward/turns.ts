import type { Clock } from '../core/clock.ts';
import { LANES } from '../core/event.ts';
import type { LaneQueue, Part } from './lane-queue.ts';

/**
 * `oldest_first`: lane by lane, each in order. `live_first`: new events at once, and what was left
 * behind in the time that they leave, in `share` of the time at least.
 */
export type Order =
  | { readonly kind: 'oldest_first' }
  | { readonly kind: 'live_first'; readonly share: number };

/** What the shares are measured over: long against one delivery, short against a person's wait. */
const MEMORY_MS = 10_000;

/** Whose turn it is: alarms first, then by the order. */
export class Turns {
  readonly #queues: readonly LaneQueue[];
  readonly #order: Order;
  readonly #clock: Clock;
  readonly #spentMs: Record<Part, number> = { live: 0, backlog: 0 };
  #countedMs = 0;

  constructor(queues: readonly LaneQueue[], order: Order, clock: Clock) {
    this.#queues = queues;
    this.#order = order;
    this.#clock = clock;
  }

  /** The first answer of the queues, the most urgent asked first. */
  async first<Answer>(
    ask: (queue: LaneQueue) => Promise<Answer | undefined>,
  ): Promise<Answer | undefined> {
    for (const queue of this.#inOrder()) {
      const answer = await ask(queue);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  /** What does not wait behind deliveries that are under way. */
  isUrgent({ lane, part }: LaneQueue): boolean {
    return lane === 'alarm' || (this.#order.kind === 'live_first' && part === 'live');
  }

  /** So long was spent on sending from `queue`. */
  spent({ part }: LaneQueue, ms: number): void {
    const nowMs = this.#clock.monotonicMs();
    const faded = Math.exp((this.#countedMs - nowMs) / MEMORY_MS);
    this.#countedMs = nowMs;
    this.#spentMs.live *= faded;
    this.#spentMs.backlog *= faded;
    this.#spentMs[part] += ms;
  }

  #inOrder(): readonly LaneQueue[] {
    if (this.#order.kind === 'oldest_first') return this.#queues;
    const alarms = this.#queues.filter(({ lane }) => lane === 'alarm');
    const others = this.#queues.filter(({ lane }) => lane !== 'alarm');
    const live = others.filter(({ part }) => part === 'live');
    const backlog = others.filter(({ part }) => part === 'backlog');
    const owed = this.#shareOfBacklog() < this.#order.share;
    return [...alarms, ...(owed ? [...backlog, ...live] : [...live, ...backlog])];
  }

  #shareOfBacklog(): number {
    const { live, backlog } = this.#spentMs;
    return live + backlog > 0 ? backlog / (live + backlog) : 1;
  }
}

/** The parts of all lanes, lane by lane, what was left behind first. */
export const QUEUES = LANES.flatMap((lane) => [
  { lane, part: 'backlog' as const },
  { lane, part: 'live' as const },
]);
