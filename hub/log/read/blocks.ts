/**
 * The stored blocks of the lanes, whatever LevelDB makes of its damaged tables.
 *
 * Invariants:
 * - a place that LevelDB cannot read (LOG_CORRUPT) is as if nothing were stored there, and what
 *   lies behind it is still found: LevelDB's own iterators skip ahead before they fail, or end;
 * - values are handed out as they are stored: whether they are sound is for the caller to check;
 * - every other error (the card does not answer) is thrown: it may pass, and is no reason to give
 *   anything up.
 */
import { HubError } from '../../core/errors.ts';
import type { Lane } from '../../core/event.ts';
import { blockKey, blockRange, offsetOfKey } from '../keys.ts';
import type { Entry, Storage } from '../storage/storage.ts';

function isDamage(error: unknown): boolean {
  return error instanceof HubError && error.code === 'LOG_CORRUPT';
}

export class Blocks {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  async get(lane: Lane, offset: number): Promise<Buffer | undefined> {
    try {
      return await this.#storage.get(blockKey(lane, offset));
    } catch (error) {
      if (isDamage(error)) return undefined;
      throw error;
    }
  }

  /** The last entry with `from <= offset < to`. */
  async last(lane: Lane, from: number, to: number): Promise<Entry | undefined> {
    let end = to;
    // doubling steps: a damaged table holds thousands of blocks, and a seek costs microseconds
    for (let step = 1; end > from; step *= 2) {
      try {
        const entry = await this.#storage.last(blockRange(lane, from, end));
        return entry && end < to ? await this.#lastBehind(lane, entry, to) : entry;
      } catch (error) {
        if (!isDamage(error)) throw error;
        end -= step;
      }
    }
    return undefined;
  }

  /** Entries with `from <= offset < to`, ascending. */
  async *entries(lane: Lane, from: number, to: number): AsyncGenerator<Entry> {
    for (let next = from; next < to; ) {
      try {
        for await (const entry of this.#storage.entries(blockRange(lane, next, to))) {
          next = offsetOfKey(entry[0]) + 1;
          yield entry;
        }
        return;
      } catch (error) {
        if (!isDamage(error)) throw error;
        next = await this.#readableAfter(lane, next, to);
      }
    }
  }

  /** What lies between `entry` and the damage that made us step back. */
  async #lastBehind(lane: Lane, entry: Entry, to: number): Promise<Entry> {
    let last = entry;
    try {
      const range = blockRange(lane, offsetOfKey(entry[0]) + 1, to);
      for await (const later of this.#storage.entries(range)) last = later;
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
    return last;
  }

  /** The smallest offset after `damaged` from which LevelDB can read; `to` when there is none. */
  async #readableAfter(lane: Lane, damaged: number, to: number): Promise<number> {
    let bad = damaged;
    let good = to;
    for (let step = 1; bad + step < to; step *= 2) {
      if (await this.#canReadFrom(lane, bad + step, to)) {
        good = bad + step;
        break;
      }
      bad += step;
    }
    while (good - bad > 1) {
      const middle = Math.floor((good + bad) / 2);
      if (await this.#canReadFrom(lane, middle, to)) good = middle;
      else bad = middle;
    }
    return good;
  }

  async #canReadFrom(lane: Lane, from: number, to: number): Promise<boolean> {
    try {
      for await (const _first of this.#storage.entries(blockRange(lane, from, to))) return true;
      return true;
    } catch (error) {
      if (isDamage(error)) return false;
      throw error;
    }
  }
}
