/**
 * Messages between the hub and the process of a plugin, over a pipe: four bytes of length, then
 * what v8 makes of one. Not by the channel that Node.js has for this: what is no message in there
 * makes Node.js throw where the hub cannot catch it, and nothing slows a plugin that talks.
 *
 * Invariants: whatever comes, `push` throws at worst, and keeps no more than one message that has
 * begun; who does not read makes the other side wait.
 */
import type { Duplex } from 'node:stream';
import { deserialize, serialize } from 'node:v8';

const LENGTH_BYTES = 4;

/** Throws when there is something in it that cannot be sent, such as a function. */
export function sendOver(pipe: Duplex, message: object, sent = () => {}): void {
  const bytes = serialize(message);
  const length = Buffer.allocUnsafe(LENGTH_BYTES);
  length.writeUInt32LE(bytes.length);
  pipe.write(Buffer.concat([length, bytes]), sent);
}

/** Finds the messages in what comes out of a pipe. */
export class MessageReader {
  readonly #bytesMax: number;
  #pieces: Buffer[] = [];
  #have = 0;
  #wanted = LENGTH_BYTES;

  constructor(bytesMax = Number.POSITIVE_INFINITY) {
    this.#bytesMax = bytesMax;
  }

  /** Those that are complete now. Throws when what has come is no message. */
  push(piece: Buffer): unknown[] {
    this.#pieces.push(piece);
    this.#have += piece.length;
    if (this.#have < this.#wanted) return [];
    const bytes = Buffer.concat(this.#pieces, this.#have);
    const messages: unknown[] = [];
    let at = 0;
    for (;;) {
      this.#wanted = LENGTH_BYTES;
      if (bytes.length - at < this.#wanted) break;
      const length = bytes.readUInt32LE(at);
      if (length > this.#bytesMax)
        throw new RangeError(`a message of ${length} bytes; at most ${this.#bytesMax}`);
      this.#wanted += length;
      if (bytes.length - at < this.#wanted) break;
      messages.push(deserialize(bytes.subarray(at + LENGTH_BYTES, at + this.#wanted)));
      at += this.#wanted;
    }
    this.#pieces = [bytes.subarray(at)];
    this.#have = bytes.length - at;
    return messages;
  }
}
