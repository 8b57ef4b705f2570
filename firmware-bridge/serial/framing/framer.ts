import type { BadFrameReason } from '../../../hub/core/bridge.ts';

/** Where a framer puts what it has found. */
export interface FrameSink {
  /** The inside of a whole frame whose checksum is right. It may share memory with the input. */
  frame(body: Buffer): void;
  bad(reason: BadFrameReason): void;
}

/**
 * Cuts a stream of bytes into frames and checks them. Pure and bounded: it keeps one frame at most,
 * and how the bytes were cut on their way changes nothing of what it finds.
 */
export interface Framer {
  push(bytes: Buffer, out: FrameSink): void;
  /** Nothing has come for a while: what has begun will not be finished. */
  silence(out: FrameSink): void;
  /** The port is gone. */
  end(out: FrameSink): void;
  /**
   * The bytes of a frame with `body` in it.
   * @throws RangeError that says, to follow "the command", why it cannot be a frame.
   */
  encode(body: Buffer): Buffer;
  /** The next byte is the first of a frame, as after a long silence. */
  beginsClean(): void;
  /** Whether a frame has begun. */
  readonly hasBegun: boolean;
}

/** Finds the body in a frame; undefined when its checksum is wrong. */
export interface Checksum {
  readonly bytes: number;
  open(frame: Buffer): Buffer | undefined;
  seal(body: Buffer): Buffer;
}
