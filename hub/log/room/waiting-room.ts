import { LANES, type Lane, type Message } from '../../core/event.ts';
import type { Done } from '../commit/group-commit.ts';
import type { WriteOperation } from '../storage/storage.ts';

/** An append that waits for room. */
export interface Waiting {
  readonly message: Message;
  readonly lane: Lane;
  readonly done: Done;
  readonly operations: readonly WriteOperation[] | undefined;
}

/**
 * Appends that wait for room, each lane in its own order: alarms do not wait behind what is less
 * urgent. Bounded by what the inputs have in flight: they hold back the rest themselves.
 */
export class WaitingRoom {
  readonly #lanes = new Map<Lane, Waiting[]>(LANES.map((lane) => [lane, []]));
  #count = 0;

  get count(): number {
    return this.#count;
  }

  of(lane: Lane): number {
    return this.#lanes.get(lane)?.length ?? 0;
  }

  add(waiting: Waiting): void {
    this.#lanes.get(waiting.lane)?.push(waiting);
    this.#count++;
  }

  /** The first ones of a lane, at most `max`. */
  take(lane: Lane, max: number): Waiting[] {
    const taken = this.#lanes.get(lane)?.splice(0, max) ?? [];
    this.#count -= taken.length;
    return taken;
  }

  takeAll(): Waiting[] {
    return LANES.flatMap((lane) => this.take(lane, Number.POSITIVE_INFINITY));
  }
}
