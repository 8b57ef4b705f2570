/**
 * What cannot be read, or is not there although it was acknowledged.
 *
 * Invariants:
 * - a range of offsets is reported and counted once, as lost with the reason `corrupt`, however
 *   often and by whomever it is met: what is known of it is subtracted first;
 * - the count, the place and (for the first few blocks) the bytes are moved to the log's own
 *   lost+found in one write; from then on it is a known gap;
 * - nothing is deleted that was not copied, but for blocks beyond the bound below.
 */
import type { Lane } from '../../core/event.ts';
import type { Writer } from '../commit/writer.ts';
import { blockKey, LOST_RANGE, laneOfLostKey, lostKey, offsetOfKey } from '../keys.ts';
import type { Losses, LostRange } from '../ledger/losses.ts';
import type { Blocks } from '../read/blocks.ts';
import type { Storage, WriteOperation } from '../storage/storage.ts';

/**
 * Bytes of damaged blocks are kept for somebody who wants to look, but not without end: of later
 * ones only the place is kept. A block is at most about 1 MiB, unless one message is larger.
 */
const KEPT_BLOCKS_MAX = 64;
/** Before the bytes of a block: how many events were lost with it. */
const COUNT_BYTES = 8;

/** `[from, to)`, with the times of the events beside it, null when not known. */
export interface DamagedRange {
  readonly from: number;
  readonly to: number;
  readonly fromMs: number | null;
  readonly toMs: number | null;
}

interface Known {
  readonly from: number;
  readonly to: number;
}

export interface DamageOptions {
  readonly storage: Storage;
  readonly blocks: Blocks;
  readonly writer: Writer;
  readonly losses: Losses;
  riders(): WriteOperation[];
  /** Once for each place. */
  found(lane: Lane, range: DamagedRange, problem: string): void;
}

/** How many events a place in lost+found stands for, and the bytes that were there. */
export function readLost(value: Buffer): { readonly events: number; readonly bytes: Buffer } {
  if (value.length < COUNT_BYTES) return { events: 0, bytes: Buffer.alloc(0) };
  return { events: Number(value.readBigUInt64LE(0)), bytes: value.subarray(COUNT_BYTES) };
}

function sealLost(events: number, bytes: Buffer): Buffer {
  const value = Buffer.allocUnsafe(COUNT_BYTES + bytes.length);
  value.writeBigUInt64LE(BigInt(events), 0);
  bytes.copy(value, COUNT_BYTES);
  return value;
}

export class Damage {
  readonly #options: DamageOptions;
  /** Ascending, not overlapping. Bounded by what is damaged on the card. */
  readonly #known = new Map<Lane, Known[]>();
  #kept = 0;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: DamageOptions) {
    this.#options = options;
  }

  async load(): Promise<void> {
    for await (const [key, value] of this.#options.storage.entries(LOST_RANGE)) {
      const { events, bytes } = readLost(value);
      const from = offsetOfKey(key);
      this.#knownIn(laneOfLostKey(key)).push({ from, to: from + events });
      if (bytes.length > 0) this.#kept++;
    }
  }

  /** Sets aside what lies in `range`, in the background. */
  report(lane: Lane, range: DamagedRange, problem: string): void {
    for (const part of this.#unknownPartsOf(lane, range)) {
      this.#learn(lane, part);
      const whole = { ...range, ...part };
      this.#options.found(lane, whole, problem);
      this.#turn = this.#turn
        .then(() => this.#setAside(lane, whole))
        .catch(() => this.#forget(lane, part)); // the card cannot be read now: met again later
    }
  }

  /** What has been lost in a lane, ascending, as far as it is known. */
  ranges(lane: Lane): readonly Known[] {
    return this.#knownIn(lane);
  }

  /** Resolves when everything reported so far has been set aside. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  async #setAside(lane: Lane, range: DamagedRange): Promise<void> {
    const { blocks, writer, losses, riders } = this.#options;
    const pieces = new Map<number, Buffer>([[range.from, Buffer.alloc(0)]]);
    for await (const [key, value] of blocks.entries(lane, range.from, range.to)) {
      const keep = this.#kept < KEPT_BLOCKS_MAX;
      if (keep) this.#kept++;
      pieces.set(offsetOfKey(key), keep ? value : Buffer.alloc(0));
    }
    const lost: LostRange = {
      firstOffset: range.from,
      lastOffset: range.to - 1,
      fromMs: range.fromMs,
      toMs: range.toMs,
    };
    const places = [...pieces.keys()];
    await writer.write(
      () => {
        losses.record(lane, 'corrupt', range.to - range.from, lost);
        const moves = places.flatMap((place, index): WriteOperation[] => {
          const events = (places[index + 1] ?? range.to) - place;
          const value = sealLost(events, pieces.get(place) ?? Buffer.alloc(0));
          return [
            { type: 'put', key: lostKey(lane, place), value },
            { type: 'del', key: blockKey(lane, place) },
          ];
        });
        return [...moves, ...riders()];
      },
      { sync: false },
    );
  }

  #unknownPartsOf(lane: Lane, { from, to }: Known): Known[] {
    const parts: Known[] = [];
    let next = from;
    for (const known of this.#knownIn(lane)) {
      if (known.to <= next) continue;
      if (known.from >= to) break;
      if (known.from > next) parts.push({ from: next, to: known.from });
      next = known.to;
    }
    if (next < to) parts.push({ from: next, to });
    return parts;
  }

  #learn(lane: Lane, range: Known): void {
    const known = this.#knownIn(lane);
    known.push(range);
    known.sort((a, b) => a.from - b.from);
  }

  #forget(lane: Lane, range: Known): void {
    const known = this.#knownIn(lane);
    const index = known.indexOf(range);
    if (index >= 0) known.splice(index, 1);
  }

  #knownIn(lane: Lane): Known[] {
    const known = this.#known.get(lane) ?? [];
    this.#known.set(lane, known);
    return known;
  }
}
