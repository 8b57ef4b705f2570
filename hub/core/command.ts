import type { Actor } from './operation.ts';

/**
 * A **command** is an instruction to a device. What became of it is a fact, and each such fact is
 * an event of the log (`dev.holdfast.command.v1` on `holdfast/command`).
 */
export const COMMAND_TOPIC = 'holdfast/command';

/**
 * `accepted`: durable, and it waits for its turn. `sent`: handed to the device or the broker; it
 * stays there when nobody answers commands. `done` and `failed`: the device answered, or it could
 * not be sent. `expired`: its time to live ran out before it was sent, or before the answer that
 * was waited for.
 */
export const COMMAND_STATES = ['accepted', 'sent', 'done', 'failed', 'expired'] as const;
export type CommandState = (typeof COMMAND_STATES)[number];

/** A command as the API shows it. Times in ms since 1970, on the hub's clock as it was. */
export interface Command {
  readonly id: string;
  readonly device: string;
  readonly name: string;
  readonly state: CommandState;
  /** How it goes to its device: `mqtt` or `bridge:<id>`. */
  readonly via: string;
  readonly actor: Actor;
  readonly acceptedMs: number;
  readonly expiresMs: number;
  /** Null while it waits. */
  readonly sentMs: number | null;
  /** Null while something may still become of it. */
  readonly endedMs: number | null;
  /** Why it failed or expired. */
  readonly detail?: string;
  /** What the device answered, as text; shortened. */
  readonly answer?: string;
}

/** What somebody wants a device to do. */
export interface CommandRequest {
  readonly device: string;
  readonly name: string;
  /** As it is sent; empty when there is none. */
  readonly payload: Buffer;
  readonly ttlMs: number;
  /** Two requests to one device with the same key are one command. */
  readonly idempotencyKey?: string | undefined;
}

/**
 * What became of a request. `not_ready`: the hub or a bridge has just started, or stops, and cannot
 * say yet whose device it is. `no_device`: nothing here knows it. `bridge_down`: the hardware that
 * it hangs on is not there. `too_many`: so many wait already. `key_reused`: the key was used for
 * another command. Only with `command` something was or will be done.
 */
export type CommandAnswer =
  | { readonly kind: 'command'; readonly command: Command; readonly repeated: boolean }
  | CommandRefusal;

export type CommandRefusal =
  | { readonly kind: 'not_ready' }
  | { readonly kind: 'no_device' }
  | { readonly kind: 'bridge_down'; readonly bridge: string; readonly detail: string }
  | { readonly kind: 'too_many'; readonly waiting: number }
  | { readonly kind: 'key_reused'; readonly id: string };

/** A command for a device of a bridge, which carries out one at a time. */
export interface CommandOrder {
  readonly id: string;
  readonly device: string;
  readonly name: string;
  readonly payload: Buffer;
}

/** `sent`: written, and no answer is expected. */
export type CommandOutcome =
  | { readonly state: 'sent' }
  | { readonly state: 'done'; readonly answer?: Buffer }
  | { readonly state: 'failed'; readonly detail: string; readonly answer?: Buffer };

/** What of a bridge takes commands. */
export interface CommandTaker {
  /**
   * Whether commands for `device` are for this bridge, which runs as `bridgeId`; also asked while
   * its hardware is away. Undefined: it has just started and does not know yet.
   */
  owns(device: string, bridgeId: string): boolean | undefined;
  /**
   * Carries out one command; the next one comes when this one has ended. `sent` is called when it
   * has gone out and an answer is waited for. Aborts when its time to live is over or the hub
   * stops. Never rejects for what the device does: a lost port is `failed`.
   */
  carryOut(order: CommandOrder, sent: () => void, signal: AbortSignal): Promise<CommandOutcome>;
}
