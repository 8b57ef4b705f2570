/**
 * What a protocol on a serial port does with its bytes. A session is pure: it owns no port, no
 * timer and no clock, so that it can be tested with bytes alone. The serial bridge makes one each
 * time it has opened its port, and
 *
 * - calls one method at a time, never again after `closed`;
 * - hands the messages of an output to the log in their order, and tells `accepted` when all
 *   messages of one output are durable, in the order of the outputs;
 * - writes the bytes of all outputs in the order of the outputs;
 * - stops reading while too much waits for the log: `receive` then pauses, the rest goes on.
 */
import type { BadFrameReason, StateChange } from '../../hub/core/bridge.ts';
import type { CommandOrder, CommandOutcome } from '../../hub/core/command.ts';
import type { Message } from '../../hub/core/event.ts';

/** When something happened, by both clocks of the hub. */
export interface SessionTime {
  /** In ms since 1970; may jump. */
  readonly wallMs: number;
  /** Never jumps. */
  readonly monotonicMs: number;
  /** Whether the wall clock is right. */
  readonly synced: boolean;
}

export interface SessionMessage extends Omit<Message, 'source'> {
  /** Goes to `context.accept` with the message: in the same write. */
  readonly state?: readonly StateChange[];
}

/** How a command of this session has ended. */
export interface CommandEnd {
  readonly id: string;
  readonly outcome: CommandOutcome;
}

/** What is to be done now. All members may be absent. */
export interface SessionOutput {
  readonly messages?: readonly SessionMessage[];
  /** Bytes to write to the port. */
  readonly write?: Buffer;
  readonly bad?: readonly BadFrameReason[];
  readonly ended?: readonly CommandEnd[];
}

export interface SerialSession {
  /** The port has just been opened. */
  opened(now: SessionTime): SessionOutput;
  /**
   * Bytes as they came, cut anywhere. `resumed`: the port was not read for a while before these,
   * so that the time between says nothing.
   */
  receive(bytes: Buffer, now: SessionTime, resumed: boolean): SessionOutput;
  /** The messages of an output, as they were given, are on stable storage. */
  accepted(messages: readonly SessionMessage[], now: SessionTime): SessionOutput;
  /**
   * Starts a command; only one is under way. It has ended when an output says so, in this answer
   * or a later one.
   */
  command(order: CommandOrder, now: SessionTime): SessionOutput;
  /** Nobody waits for the end of that command any more. */
  forget(commandId: string): void;
  /** Called every `tickMs`, about. */
  tick(now: SessionTime): SessionOutput;
  /** The port is gone. Answers what was left unfinished. */
  closed(): SessionOutput;
  /** How often `tick` is called, in ms. */
  readonly tickMs: number;
}

/**
 * Makes the session of a freshly opened port.
 *
 * With a `statePrefix` the bridge waits, before it opens the port, until every `accept` of its
 * earlier runs has settled, one way or the other: else what waits for room would be handed over
 * twice. Then it gives what is remembered to `open`. To `know` it gives it as soon as the hub runs,
 * whether the port is there or not.
 */
export interface SessionFactory {
  /** Under which keys its sessions remember; absent when they remember nothing. */
  readonly statePrefix?: string;
  /** What is remembered of earlier runs of the hub, under `statePrefix`. */
  know?(state: ReadonlyMap<string, unknown>): void;
  /** Whether commands for `device` go over this port; see CommandTaker. */
  owns(device: string, bridgeId: string): boolean | undefined;
  /** `state`: what is remembered under `statePrefix`, else empty. */
  open(bridgeId: string, state: ReadonlyMap<string, unknown>): SerialSession;
}
