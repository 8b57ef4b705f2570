import type { Logger } from 'pino';
import type { z } from 'zod';
import type { Clock } from './clock.ts';
import type { CommandTaker } from './command.ts';
import type { Message } from './event.ts';
import type { Finding } from './finding.ts';

/**
 * Something that a bridge remembers across restarts. `key` has at most STATE_KEY_BYTES_MAX bytes
 * without NUL; `value` is JSON of at most STATE_VALUE_BYTES_MAX bytes, undefined forgets the key.
 * A bridge bounds how many keys it has.
 */
export interface StateChange {
  readonly key: string;
  readonly value: unknown;
}
/** A prefix, a device id of 64 bytes, and a number or a metric. */
export const STATE_KEY_BYTES_MAX = 128;
/** It rides with every message: what is larger is no place in a stream, but data. */
export const STATE_VALUE_BYTES_MAX = 1024;

/** What somebody has to see to, or may like to know. */
export type DetailKind = 'trouble' | 'note';

/** What a bridge is given besides its own options. */
export interface BridgeContext {
  readonly id: string;
  /**
   * Resolves once the message is durable. A bridge that awaits it is slowed by a full log. `state`
   * is in the same write as the message: after a crash there are both or neither. Messages of one
   * lane become durable in the order of the calls; those of two lanes may overtake each other.
   */
  accept(message: Omit<Message, 'source'>, state?: readonly StateChange[]): Promise<void>;
  /** What this bridge remembers under the keys that begin with `prefix`. Damaged is forgotten. */
  loadState(prefix: string): Promise<ReadonlyMap<string, unknown>>;
  /** Says that the hardware is reachable and being read. */
  connected(): void;
  /**
   * Says what people should know although it is being read; undefined: nothing any more. `trouble`,
   * the default, is what somebody has to see to.
   */
  describe(detail: string | undefined, kind?: DetailKind): void;
  /** Counts what came from the hardware and could not be used. */
  badFrames(reason: BadFrameReason, count: number): void;
  readonly clock: Clock;
  /** In [0, 1). Injected so that a test can repeat a run. */
  random(): number;
  readonly logger: Logger;
}

/**
 * The near side: hardware or a source that is not MQTT. `run` reads until the signal aborts; when
 * the hardware is lost it throws HubError BRIDGE_LOST and is run again after `retryAfterMs` of the
 * error, or a back-off.
 */
export interface Bridge {
  run(context: BridgeContext, signal: AbortSignal): Promise<void>;
  /** Set by a bridge whose devices can be told something. */
  readonly commands?: CommandTaker | undefined;
}

/**
 * Why something from the hardware could not be used. `too_long`: more bytes than a frame may have.
 * `framing`: bytes that are no frame. `partial`: it broke off. `checksum`: damaged on the wire.
 * `format`: whole, but not what is expected in it. `topic`: it names no topic to publish to.
 * `protocol`: a message of a protocol that has no place there.
 */
export const BAD_FRAME_REASONS = [
  'too_long',
  'framing',
  'partial',
  'checksum',
  'format',
  'topic',
  'protocol',
] as const;
export type BadFrameReason = (typeof BAD_FRAME_REASONS)[number];

/** What is wrong with the options of a bridge, and where in them. */
export interface OptionProblem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** How a bridge is found: its type, its options' schema, and a lazy import of the rest. */
export interface BridgeSpec<Schema extends z.ZodObject = z.ZodObject> {
  readonly type: string;
  readonly summary: string;
  readonly options: Schema;
  create(options: z.output<Schema>): Promise<Bridge>;
  /** How its own messages decode, tried after the rules of the configuration. */
  decode?(options: z.output<Schema>): readonly BridgeDecodeRule[];
  /**
   * What the schema cannot know of the options, for `holdfast check`. Looks at files at most, never
   * at hardware, and takes some seconds at most. Never throws for what is wrong.
   */
  check?(options: z.output<Schema>, signal: AbortSignal): Promise<readonly OptionProblem[]>;
  /**
   * What of its hardware is there, may be used and is free, for `holdfast doctor`. Only looks:
   * opens nothing that a running hub may have open. Never throws for what is missing.
   */
  examine?(options: z.output<Schema>, signal: AbortSignal): Promise<readonly Finding[]>;
}

/** For a bridge that knows the units of what it reads: a rule as `decode:` has it. */
export interface BridgeDecodeRule {
  readonly topic: string;
  readonly format: 'json';
  readonly units: Readonly<Record<string, string>>;
}

/** Connection state of a bridge, as health, metrics and the console show it. */
export const BRIDGE_STATES = ['connecting', 'reading', 'backoff', 'stopped'] as const;
export type BridgeState = (typeof BRIDGE_STATES)[number];
