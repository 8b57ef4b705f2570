/**
 * What the hub and the process of a plugin say to each other. Only types and numbers: both sides
 * load this file.
 */

/** Messages that a plugin may have under way. */
export const WAITING_MESSAGES_MAX = 1_000;
/** Together with what the channel holds, a small part of a Pi's memory. */
export const WAITING_BYTES_MAX = 4 * 1024 * 1024;
/** Larger is no message, but a file. */
export const PAYLOAD_BYTES_MAX = 1024 * 1024;
export const TOPIC_CHARACTERS_MAX = 1_024;
/** For people: what is longer nobody reads. */
export const TEXT_CHARACTERS_MAX = 1_024;

/** Far more devices than hang on one thing. */
export const DEVICES_MAX = 1_000;

export interface Start {
  readonly is: 'start';
  readonly mode: 'run' | 'check';
  readonly id: string;
  readonly file: string;
  readonly options: unknown;
}

export type ToPlugin =
  | Start
  | { readonly is: 'accepted'; readonly seq: number; readonly error?: string }
  | {
      readonly is: 'state';
      readonly seq: number;
      readonly entries: readonly (readonly [string, unknown])[];
    }
  | {
      readonly is: 'order';
      readonly id: string;
      readonly device: string;
      readonly name: string;
      readonly payload: Uint8Array;
    }
  | { readonly is: 'abandon'; readonly id: string }
  | { readonly is: 'ping' }
  | { readonly is: 'stop' };

export type StateEntry = readonly [key: string, value: unknown];

export interface Publish {
  readonly is: 'publish';
  readonly seq: number;
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly state: readonly StateEntry[];
}

export interface OptionProblem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** `lost`: its own words for people. Else what was thrown, with the stack. */
export interface Failed {
  readonly is: 'failed';
  readonly lost: boolean;
  readonly message: string;
  readonly stack: string;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export type FromPlugin =
  | { readonly is: 'loaded' }
  | { readonly is: 'checked'; readonly problems: readonly OptionProblem[] }
  | Publish
  | { readonly is: 'load'; readonly seq: number; readonly prefix: string }
  | { readonly is: 'connected' }
  | { readonly is: 'describe'; readonly text?: string | undefined }
  | { readonly is: 'bad'; readonly reason: string; readonly count: number }
  | { readonly is: 'commands'; readonly devices: readonly string[] }
  | { readonly is: 'sent'; readonly id: string }
  | { readonly is: 'done'; readonly id: string; readonly answer?: Uint8Array | undefined }
  | { readonly is: 'refused'; readonly id: string; readonly detail: string }
  | { readonly is: 'log'; readonly level: LogLevel; readonly text: string }
  | { readonly is: 'pong' }
  | { readonly is: 'returned' }
  | Failed;
