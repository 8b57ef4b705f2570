import type { BadFrameReason } from '../../hub/core/bridge.ts';
import type { Value } from './messages.ts';

/** What one reading of a sensor gave. */
export interface Sample {
  /** Metrics and values; none: there is no message. */
  readonly values: readonly (readonly [string, Value])[];
  /** Parts of it that could not be read, for people: told until a sample comes without. */
  readonly problems?: readonly string[];
}

/** What a sensor is given for one reading. */
export interface Reading {
  /** Aborts when the reading is given up: its time is over, or the bridge stops. */
  readonly signal: AbortSignal;
  /** Counts what came from the hardware and could not be used. */
  badFrames(reason: BadFrameReason, count: number): void;
}

/** Something that is read at intervals: a sensor, or a chip with several values. */
export interface Sensor {
  /** Unique among the sensors of a sampler, and always the same. */
  readonly key: string;
  /** Name of the device in topics and readings. */
  readonly device: string;
  /** For people: `cellar (28-0316a2795ff0)`. */
  readonly name: string;
  /** What the event of a gap says besides the device, such as `{ sensor: '28-0316a2795ff0' }`. */
  readonly identity: Readonly<Record<string, string | number>>;
  /** Sensors of one lane are read one after another, as those of one bus have to be. */
  readonly lane: string;
  readonly intervalMs: number;
  /** How long a reading may take. */
  readonly timeoutMs: number;
  /** Pause after a first failure. Default `timeoutMs`, at most 1 s. */
  readonly pauseMs?: number;
  /** Throws an error whose message says to people why it cannot be read, and what to do. */
  read(reading: Reading): Promise<Sample>;
}
