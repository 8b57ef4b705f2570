/**
 * A way to the slaves. One request is under way at a time: the client sees to that. All frames are
 * those of RTU, with their CRC, whatever goes over the line.
 */
export type WireAnswer =
  | { readonly kind: 'frame'; readonly frame: Buffer }
  /** Nothing came in time. */
  | { readonly kind: 'silent' }
  /** Something came that is not the answer: noise, a wrong CRC, or a frame that broke off. */
  | { readonly kind: 'garbled'; readonly detail: string };

export interface Wire {
  /** How people call it: `/dev/ttyUSB0` or `10.0.0.5:502`. */
  readonly name: string;
  /** Whether an answer that comes too late could be taken for the next one. */
  readonly confusable: boolean;
  /** Sends and waits for the answer. Rejects with HubError BRIDGE_LOST when the line is gone. */
  exchange(request: Buffer, timeoutMs: number): Promise<WireAnswer>;
  /** Rejects with HubError BRIDGE_LOST when the line is lost; resolves when it was closed. */
  readonly lost: Promise<void>;
  /** Answers that came after their time, so far. */
  readonly lateAnswers: number;
  close(): void;
}
