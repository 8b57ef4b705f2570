/** What `LineSplitter` finds. A line comes without its line end. */
export interface LineSink {
  line(bytes: Buffer): void;
  /** A line of more bytes than there may be; `start` is what of it was kept. */
  tooLong(start: Buffer): void;
}

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/** Cuts bytes into lines. Holds at most one line that has begun. */
export class LineSplitter {
  readonly #lineBytesMax: number;
  readonly #sink: LineSink;
  #begun: Buffer[] = [];
  #begunBytes = 0;
  #skipping = false;

  constructor(lineBytesMax: number, sink: LineSink) {
    this.#lineBytesMax = lineBytesMax;
    this.#sink = sink;
  }

  /** Whether it is within a line that is too long. */
  get isSkipping(): boolean {
    return this.#skipping;
  }

  push(chunk: Buffer): void {
    let at = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, at)) {
      this.#add(chunk.subarray(at, end));
      const isSkipped = this.#skipping;
      const line = this.end();
      if (line !== undefined && !isSkipped) this.#sink.line(line);
      at = end + 1;
    }
    this.#add(chunk.subarray(at));
  }

  /** The line that has begun and was not ended; undefined when there is none. */
  end(): Buffer | undefined {
    const line = this.#skipping ? undefined : Buffer.concat(this.#begun, this.#begunBytes);
    this.#forget();
    this.#skipping = false;
    return line?.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line;
  }

  #add(part: Buffer): void {
    if (this.#skipping || part.length === 0) return;
    const room = this.#lineBytesMax - this.#begunBytes;
    if (part.length <= room) {
      this.#begun.push(part);
      this.#begunBytes += part.length;
      return;
    }
    this.#skipping = true;
    this.#sink.tooLong(Buffer.concat([...this.#begun, part.subarray(0, room)]));
    this.#forget();
  }

  #forget(): void {
    this.#begun = [];
    this.#begunBytes = 0;
  }
}
