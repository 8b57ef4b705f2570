/**
 * How much room there is, and for whom.
 *
 * Invariants:
 * - bulk and normal events never take the share that is reserved for alarms;
 * - the volume is looked at before it is full: below `freeBytesMin` there is no room, and the
 *   reserve is given up only when another process has filled the volume all the same;
 * - while the reserve is gone only alarms are accepted, and only while the volume has room.
 */
import { LANES, type Lane } from '../../core/event.ts';
import type { WhenFull } from '../../core/status.ts';
import type { LaneState } from '../lane-state.ts';
import type { Reserve } from './reserve.ts';

/** Of the capacity: alarms are few and small, and a full log is when they matter most. */
const ALARM_SHARE = 0.05;
/** Alarms may go on below `freeBytesMin`, down to this part of it. */
const ALARM_FREE_SHARE = 0.5;
/** From here on what every sink has settled is trimmed whatever its age, so that nobody waits. */
const NEARLY_FULL_SHARE = 0.9;
/** `thin` works from here on, so that `drop_oldest`, its last resort, is rarely needed. */
const THIN_SHARE = 0.9;
/** `drop_oldest` begins a little before the end, so that publishers do not wait for it. */
const DROP_OLDEST_SHARE = 0.98;

/** The reserve is taken again when this many times its size is free: else it would be a squeeze. */
const SPARE_RESERVES = 2;

/**
 * With less there is nothing to be gained: LevelDB opens again with a new log and a new MANIFEST.
 */
const REOPEN_FREE_BYTES = 1024 * 1024;

/** What happens in each lane when there is no more room in it. */
export type WhenFullByLane = Readonly<Record<Lane, WhenFull>>;

/** One word for all lanes. Alarms are never thinned: they wait. */
export function whenFullByLane(whenFull: WhenFull | WhenFullByLane): WhenFullByLane {
  if (typeof whenFull !== 'string') return whenFull;
  return { alarm: whenFull === 'thin' ? 'block' : whenFull, normal: whenFull, bulk: whenFull };
}

export interface RoomOptions {
  readonly lanes: ReadonlyMap<Lane, LaneState>;
  readonly bytesMax: number;
  /** Below this many free bytes on the volume the log counts as full. */
  readonly freeBytesMin: number;
  readonly whenFull: WhenFullByLane;
  readonly reserve: Reserve;
  /** Free bytes on the volume of the data directory. */
  freeBytes(): Promise<number>;
  /** Trimmed, but still on the disk: compacting gives it back. */
  uncompactedBytes(): number;
}

export class Room {
  readonly #options: RoomOptions;
  readonly #full = new Map<Lane, boolean>();
  #freeBytes = Number.POSITIVE_INFINITY;
  #squeezed = false;

  constructor(options: RoomOptions) {
    this.#options = options;
  }

  /** Whether there is no room for an event of `lane`. As it was at the last `measure`. */
  full(lane: Lane): boolean {
    return this.#full.get(lane) ?? false;
  }

  whenFull(lane: Lane): WhenFull {
    return this.#options.whenFull[lane];
  }

  /** Looked at for each event, so it is worked out when something has changed. */
  measure(): void {
    for (const lane of LANES) this.#full.set(lane, this.#fuller(lane, 1, 0));
  }

  /** Looks at the volume too. Errors: those of the file system; what was known before counts. */
  async measureVolume(): Promise<void> {
    this.#freeBytes = await this.#options.freeBytes();
    const { reserve, freeBytesMin } = this.#options;
    const spareBytes = this.#freeBytes - freeBytesMin;
    if (spareBytes >= SPARE_RESERVES * reserve.bytes) {
      await reserve.hold();
      this.#squeezed = false;
    }
    this.measure();
  }

  /**
   * A write has found the volume full: gives up the reserve, so that the next one may succeed.
   * Answers whether there is room for a try: another process may have taken what was given up.
   */
  async squeeze(): Promise<boolean> {
    const { reserve, freeBytes } = this.#options;
    this.#squeezed = true;
    await reserve.release();
    this.#freeBytes = await freeBytes();
    this.measure();
    return this.#freeBytes >= Math.min(REOPEN_FREE_BYTES, reserve.bytes);
  }

  /** Whether the volume is short, whatever the log's own capacity. */
  get volumeShort(): boolean {
    return this.#squeezed || this.#freeBytes < this.#options.freeBytesMin;
  }

  get bytes(): number {
    let bytes = 0;
    for (const lane of this.#options.lanes.values()) bytes += lane.bytes;
    return bytes;
  }

  /** `freedBytes` are about to be trimmed. */
  nearlyFull(freedBytes = 0): boolean {
    return this.#fuller('normal', NEARLY_FULL_SHARE, freedBytes);
  }

  /** Whether events of `lane` must be made smaller now. */
  mustThin(lane: Lane): boolean {
    return this.whenFull(lane) === 'thin' && this.#fuller(lane, THIN_SHARE, 0);
  }

  /** Whether events of `lane` must be given up now. `thin` gives up only what it cannot thin. */
  mustDrop(lane: Lane, freedBytes: number): boolean {
    const gives = this.whenFull(lane) === 'drop_oldest' || this.whenFull(lane) === 'thin';
    return gives && this.#fuller(lane, DROP_OLDEST_SHARE, freedBytes);
  }

  /** Which bound is reached for `lane`, in the user's words. */
  reason(lane: Lane): string {
    const mib = (bytes: number) => `${Math.floor(bytes / 1024 ** 2)} MiB`;
    if (this.#squeezed) return 'the volume is full';
    if (this.#freeBytes < this.#options.freeBytesMin) {
      const limit = mib(this.#options.freeBytesMin);
      return `only ${mib(this.#freeBytes)} are free on the volume, free_bytes_min is ${limit}`;
    }
    const share = lane === 'alarm' ? '' : ', less what is reserved for alarms';
    return `it has reached bytes_max, ${mib(this.#options.bytesMax)}${share}`;
  }

  #fuller(lane: Lane, share: number, freedBytes: number): boolean {
    const { bytesMax, freeBytesMin, uncompactedBytes, lanes, reserve } = this.#options;
    const free = this.#freeBytes + uncompactedBytes() + freedBytes;
    const bytes = this.bytes - freedBytes;
    if (bytes >= bytesMax * share) return true;
    if (lane === 'alarm') {
      const alarmFreeMin = freeBytesMin * ALARM_FREE_SHARE;
      return free < Math.max(alarmFreeMin, this.#squeezed ? reserve.bytes / 2 : 0);
    }
    const alarmBytes = lanes.get('alarm')?.bytes ?? 0;
    if (bytes - alarmBytes >= bytesMax * (1 - ALARM_SHARE) * share) return true;
    return free < freeBytesMin + (this.#squeezed ? SPARE_RESERVES * reserve.bytes : 0);
  }
}
