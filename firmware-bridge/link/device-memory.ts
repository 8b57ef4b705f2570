/**
 * What the hub has of one device in one session.
 *
 * Invariants:
 * - `last`: every number up to it is on stable storage, and only that is acknowledged;
 * - each reading rides in one write with its slot, `sequence % WINDOW_MAX`. A device sends a number
 *   only when the one WINDOW_MAX before it was acknowledged, so a slot is never needed for two,
 *   and after a restart the slots say exactly which of the newest numbers are stored, although
 *   readings of two lanes may have become durable in another order than they came;
 * - `last < expected <= last + WINDOW_MAX + 1`, and nothing from `expected` on was handed over.
 */
import type { StateChange } from '../../hub/core/bridge.ts';
import { WINDOW_MAX } from './wire.ts';

export const STATE_PREFIX = 'link/';

export interface Slot {
  readonly session: number;
  readonly sequence: number;
}

/** What is remembered of one device: the value of each slot. */
export type Slots = ReadonlyMap<number, Slot>;

function slotKey(device: string, slot: number): string {
  return `${STATE_PREFIX}${device}/${slot}`;
}

function isSlot(value: unknown): value is Slot {
  if (typeof value !== 'object' || value === null) return false;
  return (
    Number.isSafeInteger(Reflect.get(value, 'session')) &&
    Number.isSafeInteger(Reflect.get(value, 'sequence'))
  );
}

/** By device. */
export function slotsOf(state: ReadonlyMap<string, unknown>): Map<string, Slots> {
  const devices = new Map<string, Map<number, Slot>>();
  for (const [key, value] of state) {
    const [, device, slot] = /^link\/(.+)\/(\d+)$/.exec(key) ?? [];
    if (device === undefined || !isSlot(value)) continue;
    const slots = devices.get(device) ?? new Map<number, Slot>();
    slots.set(Number(slot), value);
    devices.set(device, slots);
  }
  return devices;
}

/** Forgets a device. */
export function forgotten(device: string): StateChange[] {
  return Array.from({ length: WINDOW_MAX }, (_, slot) => ({
    key: slotKey(device, slot),
    value: undefined,
  }));
}

export class DeviceMemory {
  readonly device: string;
  readonly session: number;
  #last: number;
  #expected = 0;
  /** Durable numbers above `last`. */
  readonly #ahead = new Set<number>();
  /** When each number was handed over that is not durable yet, in ms of the monotonic clock. */
  readonly #pending = new Map<number, number>();

  /**
   * `first` is the oldest number that the device holds: all before it was acknowledged. `slots`
   * are of this session.
   */
  constructor(device: string, session: number, first: number, slots: Iterable<Slot> = []) {
    this.device = device;
    this.session = session;
    this.#last = first - 1;
    for (const { sequence } of slots) {
      this.#last = Math.max(this.#last, sequence - WINDOW_MAX);
      this.#ahead.add(sequence);
    }
    this.#advance();
  }

  get last(): number {
    return this.#last;
  }

  get expected(): number {
    return this.#expected;
  }

  /** The newest number that was ever handed over, or is durable. */
  get newest(): number {
    return Math.max(this.#expected - 1, ...this.#ahead);
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** Since when the oldest waits. Infinity when none does. */
  get pendingSinceMs(): number {
    for (const ms of this.#pending.values()) return ms;
    return Number.POSITIVE_INFINITY;
  }

  /**
   * `new`: to be handed over, with `handOver`. `repeated`: it is here already. `gap`: others are
   * missing before it. `outside`: no device sends that.
   */
  judge(sequence: number): 'new' | 'repeated' | 'gap' | 'outside' {
    if (sequence < this.#expected) return 'repeated';
    if (sequence > this.#last + WINDOW_MAX) return 'outside';
    if (sequence > this.#expected) return 'gap';
    if (!this.#ahead.has(sequence)) return 'new';
    this.#expected += 1;
    return 'repeated';
  }

  /** What rides with the reading `expected`. */
  handOver(monotonicMs: number): StateChange {
    const sequence = this.#expected;
    this.#expected += 1;
    this.#pending.set(sequence, monotonicMs);
    const value: Slot = { session: this.session, sequence };
    return { key: slotKey(this.device, sequence % WINDOW_MAX), value };
  }

  durable(sequence: number): void {
    this.#pending.delete(sequence);
    this.#ahead.add(sequence);
    this.#advance();
  }

  #advance(): void {
    for (const sequence of this.#ahead) if (sequence <= this.#last) this.#ahead.delete(sequence);
    while (this.#ahead.delete(this.#last + 1)) this.#last += 1;
    this.#expected = Math.max(this.#expected, this.#last + 1);
  }
}
