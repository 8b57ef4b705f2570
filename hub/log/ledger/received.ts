import { LANES, type Lane } from '../../core/event.ts';
import { metaKey } from '../keys.ts';
import { openRecord, sealRecord } from '../record.ts';
import type { Storage, WriteOperation } from '../storage/storage.ts';

const RECEIVED_KEY = metaKey('received');
/**
 * Sources are `mqtt`, `hub` and the bridges of the configuration, but of all configurations there
 * have ever been: what comes after so many is counted together.
 */
const SOURCES_MAX = 256;
const OTHER_SOURCE = 'other';

type ByLane = Record<Lane, number>;

/** Events of one source in one lane since the log was created. */
export interface ReceivedCount {
  readonly source: string;
  readonly lane: Lane;
  readonly events: number;
}

interface Saved {
  readonly sources: Record<string, ByLane>;
  readonly refused: ByLane;
}

/**
 * The incoming side of the ledger: what each source handed over, written in the same batch as the
 * events themselves.
 *
 * Invariant, per lane: the sum over all sources = the lane's tail + what was refused.
 */
export class Received {
  readonly #sources = new Map<string, ByLane>();
  #refused: ByLane = { alarm: 0, normal: 0, bulk: 0 };
  #changed = false;

  /**
   * `tail` of each lane: what an older record does not know of has come from somewhere. `marked` is
   * what the high-water mark knows of what was refused.
   */
  async load(
    storage: Storage,
    tail: (lane: Lane) => number,
    marked?: Readonly<ByLane>,
  ): Promise<void> {
    const saved = openRecord<Saved>(await storage.get(RECEIVED_KEY));
    for (const [source, counts] of Object.entries(saved?.sources ?? {})) {
      this.#sources.set(source, counts);
    }
    if (saved) this.#refused = { ...saved.refused };
    for (const lane of LANES) {
      this.#refused[lane] = Math.max(this.#refused[lane], marked?.[lane] ?? 0);
      const missing = tail(lane) + this.#refused[lane] - this.#of(lane);
      if (missing > 0) this.add(OTHER_SOURCE, lane, missing);
    }
  }

  /** Events that get an offset. */
  add(source: string, lane: Lane, events: number): void {
    const known = this.#sources.has(source) || this.#sources.size < SOURCES_MAX;
    const name = known ? source : OTHER_SOURCE;
    const counts = this.#sources.get(name) ?? { alarm: 0, normal: 0, bulk: 0 };
    counts[lane] += events;
    this.#sources.set(name, counts);
    this.#changed = true;
  }

  /** An event that was given up before it had an offset. */
  refuse(source: string, lane: Lane): void {
    this.add(source, lane, 1);
    this.#refused[lane]++;
  }

  get refused(): Readonly<ByLane> {
    return this.#refused;
  }

  entries(): ReceivedCount[] {
    return [...this.#sources].flatMap(([source, counts]) =>
      LANES.map((lane) => ({ source, lane, events: counts[lane] })).filter(({ events }) => events),
    );
  }

  takeOperations(): WriteOperation[] {
    if (!this.#changed) return [];
    this.#changed = false;
    const saved: Saved = { sources: Object.fromEntries(this.#sources), refused: this.#refused };
    return [{ type: 'put', key: RECEIVED_KEY, value: sealRecord(saved) }];
  }

  #of(lane: Lane): number {
    let events = 0;
    for (const counts of this.#sources.values()) events += counts[lane];
    return events;
  }
}
