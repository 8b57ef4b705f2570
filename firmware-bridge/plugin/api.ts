/**
 * What a plugin is, for TypeScript and for editors. This file needs no other: copy it beside your
 * plugin and import its types. docs/plugin.md explains it.
 */

/** The module of a plugin exports these. */
export interface Plugin<Options = unknown> {
  /** The version of this interface that it is written for. */
  readonly apiVersion: 1;
  /**
   * Reads until `bridge.signal` aborts. Whatever it throws, and when it ends by itself, it is run
   * again after a while, in a new process.
   */
  run(bridge: PluginBridge, options: Options): Promise<void>;
  /** What is wrong with the options; nothing or an empty list when all is well. */
  check?(options: Options): PluginProblems | Promise<PluginProblems>;
}

export type PluginProblems = readonly (string | PluginProblem)[] | undefined;

/** `path` is where in the options, such as `['sensors', 0, 'pin']`. */
export interface PluginProblem {
  readonly path?: readonly (string | number)[];
  readonly message: string;
}

export type PluginData = string | number | boolean | Uint8Array | object;

export interface PluginBridge {
  /** As the configuration has it. */
  readonly id: string;
  /** Aborts when the hub stops; then `run` has half a second to end. */
  readonly signal: AbortSignal;
  /**
   * Resolves once the message is on stable storage: wait for it, and a full log slows you down.
   * Bytes and text are sent as they are, everything else as JSON. `state` is remembered in the same
   * write: after a power cut there are both or neither; undefined forgets.
   */
  publish(
    topic: string,
    data: PluginData,
    options?: { readonly state?: Readonly<Record<string, unknown>> },
  ): Promise<void>;
  /** What was remembered with `publish` under keys that begin so; all by default. */
  loadState(prefix?: string): Promise<Map<string, unknown>>;
  /** Says that the hardware is there, before the first message. A message says so too. */
  connected(): void;
  /** What people should know in the status; undefined: nothing any more. */
  describe(text: string | undefined): void;
  /** Counts what came from the hardware and could not be used. */
  badFrames(reason: PluginBadReason, count?: number): void;
  /** An error that says in the status what is wrong with the hardware, without a line number. */
  lost(message: string): Error;
  /** Takes the commands for these devices. One at a time. */
  commands(devices: readonly string[], handler: PluginCommandHandler): void;
  readonly log: Readonly<Record<'debug' | 'info' | 'warn' | 'error', (text: string) => void>>;
}

export type PluginBadReason =
  | 'too_long'
  | 'framing'
  | 'partial'
  | 'checksum'
  | 'format'
  | 'topic'
  | 'protocol';

export interface PluginCommand {
  readonly id: string;
  readonly device: string;
  readonly name: string;
  /** Parsed where it is JSON, else text, else bytes; undefined when there is none. */
  readonly data: unknown;
  /** Says that it has gone out to the device and an answer is waited for. */
  sent(): void;
  /** Aborts when nobody waits for it any more. */
  readonly signal: AbortSignal;
}

/** What it returns is the answer of the device; what it throws is why it failed. */
export type PluginCommandHandler = (
  command: PluginCommand,
) => PluginData | undefined | Promise<PluginData | undefined>;
