/**
 * RTU frames over a line. Invariants:
 * - bytes that come while nothing is asked are thrown away: they answer nothing;
 * - an answer counts only with the unit, the function, the length and the CRC that the request
 *   calls for, wherever in the bytes it begins;
 * - nothing is sent before the line was quiet for a gap between frames.
 * RTU has no request numbers, so the late answer to one request can look like the answer to the
 * next one of the same slave. This layer cannot tell them apart: see slave-link.ts.
 */
import type { HubError } from '../../hub/core/errors.ts';
import { type Expected, expectedOf, findAnswer } from './frame.ts';
import type { Line } from './line.ts';
import { LineWatch } from './line-watch.ts';
import type { Wire, WireAnswer } from './wire.ts';

/** 1 start, 8 data, parity or second stop bit, stop. */
const BITS_PER_CHARACTER = 11;
const GAP_CHARACTERS = 3.5;
/** The standard fixes the gap at 1.75 ms from 19,200 baud on; timers are not finer than 1 ms. */
const GAP_MS_MIN = 2;
/** A line that is never quiet is broken or its speed is wrong; sending would add to the noise. */
const NOISY_AFTER_MS = 250;
/** Once enough bytes for the answer are here and none is added, no answer will come of them. */
const BROKEN_AFTER_MS = 60;
/** Twice the longest frame: what came before it is noise. */
const KEPT_BYTES = 512;

interface Pending {
  readonly request: Buffer;
  readonly expected: Expected;
  /** The adapter has given it back already: the same bytes again are the answer. */
  isHeard: boolean;
  resolve(answer: WireAnswer): void;
  reject(error: HubError): void;
}

/** Silence between two frames at a speed, in ms. */
export function frameGapMs(baudRate: number): number {
  const characters = (GAP_CHARACTERS * BITS_PER_CHARACTER * 1000) / baudRate;
  return Math.max(GAP_MS_MIN, Math.ceil(characters));
}

/** `gapMs`: silence that parts two frames. */
export class RtuWire implements Wire {
  readonly name: string;
  readonly confusable = true;
  readonly lost: Promise<void>;
  lateAnswers = 0;
  readonly #line: Line;
  readonly #watch: LineWatch;
  readonly #gapMs: number;
  #received: Buffer = Buffer.alloc(0);
  #lastByteMs = 0;
  /** Bytes that nobody asked for have come, and belong to one frame with those before. */
  #inStray = false;
  #pending: Pending | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #broken: NodeJS.Timeout | undefined;
  /** Adapters without direction control hear what they send. */
  #hearsItself = false;

  constructor(line: Line, gapMs: number) {
    this.#line = line;
    this.#gapMs = gapMs;
    this.name = line.name;
    this.#watch = new LineWatch(line, 'check the cable and the adapter', {
      receive: (bytes) => this.#receive(bytes),
      ended: (error) => this.#ended(error),
    });
    this.lost = this.#watch.lost;
  }

  async exchange(request: Buffer, timeoutMs: number): Promise<WireAnswer> {
    if (!(await this.#quiet()))
      return { kind: 'garbled', detail: 'the line is never quiet: check speed and wiring' };
    return new Promise<WireAnswer>((resolve, reject) => {
      const { failure } = this.#watch;
      if (failure) return reject(failure);
      this.#received = Buffer.alloc(0);
      this.#pending = { request, expected: expectedOf(request), isHeard: false, resolve, reject };
      this.#deadline = setTimeout(() => this.#timeOut(), timeoutMs);
      this.#line.stream.write(request);
    });
  }

  close(): void {
    this.#watch.close();
  }

  async #quiet(): Promise<boolean> {
    const giveUpMs = performance.now() + NOISY_AFTER_MS;
    for (;;) {
      const waitMs = this.#lastByteMs + this.#gapMs - performance.now();
      if (waitMs <= 0 || this.#watch.failure) return true;
      if (performance.now() > giveUpMs) return false;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  #receive(bytes: Buffer): void {
    const nowMs = performance.now();
    if (nowMs - this.#lastByteMs > BROKEN_AFTER_MS) this.#inStray = false;
    this.#lastByteMs = nowMs;
    const pending = this.#pending;
    if (pending === undefined) {
      if (!this.#inStray) this.lateAnswers += 1;
      this.#inStray = true;
      return;
    }
    this.#received = Buffer.concat([this.#received, bytes]).subarray(-KEPT_BYTES);
    this.#dropOwnEcho(pending);
    const frame = findAnswer(this.#received, pending.expected);
    clearTimeout(this.#broken);
    if (frame !== undefined) {
      this.#settle(pending, { kind: 'frame', frame });
      return;
    }
    if (this.#received.length >= pending.expected.bytes)
      this.#broken = setTimeout(() => this.#garbled(pending), BROKEN_AFTER_MS);
  }

  /** An echo of a write looks like its answer. That of a read does not, and gives it away. */
  #dropOwnEcho(pending: Pending): void {
    const { request, isHeard } = pending;
    if (isHeard) return;
    const isRead = (request[1] ?? 0) <= 4;
    if (!isRead && !this.#hearsItself) return;
    if (!this.#received.subarray(0, request.length).equals(request)) return;
    pending.isHeard = true;
    this.#hearsItself = true;
    this.#received = this.#received.subarray(request.length);
  }

  #garbled(pending: Pending): void {
    const bytes = this.#received.length;
    const detail = `${bytes} bytes came that are no answer: check \`baud_rate\`, \`parity\` and wiring`;
    this.#settle(pending, { kind: 'garbled', detail });
  }

  #timeOut(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const bytes = this.#received.length;
    if (bytes >= pending.expected.bytes) {
      this.#garbled(pending);
      return;
    }
    const detail = `${bytes} of ${pending.expected.bytes} bytes of an answer came in time`;
    this.#settle(pending, bytes === 0 ? { kind: 'silent' } : { kind: 'garbled', detail });
  }

  #settle(pending: Pending, answer: WireAnswer): void {
    clearTimeout(this.#deadline);
    clearTimeout(this.#broken);
    this.#pending = undefined;
    this.#inStray = false;
    pending.resolve(answer);
  }

  #ended(error: HubError): void {
    clearTimeout(this.#deadline);
    clearTimeout(this.#broken);
    this.#pending?.reject(error);
    this.#pending = undefined;
  }
}
