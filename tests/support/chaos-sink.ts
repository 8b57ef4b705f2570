import { HubError } from '../../hub/core/errors.ts';
import type { Batch, HubEvent } from '../../hub/core/event.ts';
import { type Connection, DELIVERED, type Delivery, type Sink } from '../../hub/core/sink.ts';
import type { ChaosBook } from './chaos-book.ts';
import { hanging } from './memory-sink.ts';

/** What the far side of a simulation is, and how it feels about its work. */
export interface ChaosWorld {
  readonly book: ChaosBook;
  nowMs(): number;
  random(): number;
  isPoison(event: HubEvent): boolean;
  /** Of the batches, how many go wrong: 0 to 1. */
  mischief: number;
  /** Nothing is reached before this time. */
  downUntilMs: number;
  /** Counts up with every power cut: what runs in an earlier life reaches nobody any more. */
  life: number;
  /** A batch was looked at, whatever came of it. */
  note(what: string): void;
}

const LATE_MS = 10_000;
const ASKED_MS = 5_000;
const down = () => new HubError('SINK_DISCONNECTED', 'the far side is down');

const MISCHIEFS = [
  'down',
  'lose-answer',
  'throttle',
  'throttle-ask',
  'hang',
  'hang-for-ever',
  'late',
  'nonsense',
  'part',
] as const;

/** The sink of a simulation: no network, but everything that can come back from one. */
export class ChaosSink implements Sink<Batch> {
  readonly #world: ChaosWorld;
  readonly #life: number;
  #closed = false;

  constructor(world: ChaosWorld, life: number) {
    this.#world = world;
    this.#life = life;
  }

  async connect(_signal: AbortSignal): Promise<Connection> {
    if (this.#world.nowMs() < this.#world.downUntilMs) throw down();
    return {};
  }

  async encode(batch: Batch): Promise<Batch> {
    return batch;
  }

  async send(batch: Batch, signal: AbortSignal): Promise<Delivery> {
    const { random, mischief, downUntilMs } = this.#world;
    if (this.#life !== this.#world.life) return await new Promise<never>(() => {});
    if (this.#closed) throw new Error('a sink that was closed is used');
    if (this.#world.nowMs() < downUntilMs) throw down();
    const choice = random() < mischief ? pick(MISCHIEFS, random()) : 'ok';
    this.#world.note(choice);
    switch (choice) {
      case 'down':
        throw down();
      case 'throttle':
        throw new HubError('SINK_THROTTLED', 'too much');
      case 'throttle-ask':
        throw new HubError('SINK_THROTTLED', 'too much', { retryAfterMs: ASKED_MS });
      case 'nonsense':
        throw new TypeError('undefined is not a far side');
      case 'hang':
        return await hanging(signal);
      case 'hang-for-ever':
        return await new Promise<never>(() => {});
      default:
        return await this.#process(batch, signal, choice);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  async #process(batch: Batch, signal: AbortSignal, choice: string): Promise<Delivery> {
    const { book, isPoison, random, nowMs } = this.#world;
    const poison = batch.events.flatMap((event, index) => (isPoison(event) ? [index] : []));
    const names = choice === 'part';
    if (poison.length > 0 && !names) {
      const [only] = batch.events.length === 1 ? batch.events : [];
      throw new HubError('SINK_REJECTED', only ? poisonText(only) : 'something in it is poison');
    }
    const rejected = poison.flatMap((index) => {
      const event = batch.events[index];
      return event ? [{ index, reason: poisonText(event) }] : [];
    });
    const later = orderedPart(batch.events, names ? random() : 1);
    const retry = later.filter((index) => !poison.includes(index));
    const left = new Set([...poison, ...retry]);
    const taken = batch.events.filter((_, index) => !left.has(index));
    const processed = book.process(
      taken.map((event) => ({
        id: idOf(event),
        lane: event.lane,
        offset: event.offset,
        device: event.topic,
        backfill: batch.backfill === true,
      })),
    );
    if (choice === 'lose-answer') throw down();
    if (choice === 'late') await new Promise((resolve) => setTimeout(resolve, LATE_MS));
    signal.throwIfAborted();
    book.told(processed, nowMs());
    if (!names) return DELIVERED;
    return { rejected: rejected.filter(({ index }) => !later.includes(index)), retry: later };
  }
}

/** From some event on, what a far side that stops in the middle has not looked at. */
function orderedPart(events: readonly HubEvent[], share: number): number[] {
  const from = Math.max(1, Math.ceil(events.length * share));
  return events.flatMap((_, index) => (index >= from ? [index] : []));
}

export function poisonText(event: HubEvent): string {
  return `poison ${idOf(event)}`;
}

export function idOf({ lane, offset }: HubEvent): string {
  return `sim.log.${lane}.${offset}`;
}

function pick<Item>(items: readonly Item[], random: number): Item | 'ok' {
  return items[Math.floor(random * items.length)] ?? 'ok';
}
