/**
 * Reads PUBLISH packets, which are nearly all that a hub receives, straight out of the socket's
 * chunk; everything else, and everything unusual, goes to mqtt-packet, the parser that aedes brings.
 * That one costs 1.5 microseconds a PUBLISH, a third of all there is to do for an event.
 *
 * Invariants:
 * - packets are emitted in the order of their bytes, whichever parser reads them;
 * - what is emitted for a PUBLISH equals what mqtt-packet emits (tested against it);
 * - a packet is refused by its length, before it is in memory;
 * - the rest of a chunk is kept here while it is short, else mqtt-packet keeps it: nothing is
 *   copied more than a few times, however large a packet is.
 */
import type { EventEmitter } from 'node:events';
import type { Client } from 'aedes';

/** The part of mqtt-packet's parser that is used here. aedes keeps it in a private field. */
export interface PacketParser extends EventEmitter {
  parse(chunk: Buffer): number;
  error: Error | null;
  readonly settings: { readonly protocolVersion?: number };
  /** Bytes of a packet that is not complete, and how far its parsing is. */
  readonly _list: { readonly length: number };
  readonly _stateCounter: number;
  _emitError(error: Error): boolean;
}

/** What mqtt-packet gives for a PUBLISH of MQTT 3. */
class Publish {
  readonly cmd = 'publish';
  readonly retain: boolean;
  readonly qos: number;
  readonly dup: boolean;
  readonly length: number;
  readonly topic: string;
  readonly payload: Buffer;
  readonly messageId: number | undefined;

  constructor(flags: number, length: number, topic: string, payload: Buffer, messageId?: number) {
    this.retain = (flags & 0x01) !== 0;
    this.qos = (flags >> 1) & 0x03;
    this.dup = (flags & 0x08) !== 0;
    this.length = length;
    this.topic = topic;
    this.payload = payload;
    this.messageId = messageId;
  }
}

const PUBLISH = 3;
/** A fixed header: the type and at most four bytes of length. */
const LENGTH_BYTES_MAX = 4;
/** A rest up to this size is joined with the next chunk, which is about as large. */
const REST_BYTES_MAX = 64 * 1024;
const NOTHING = Buffer.alloc(0);

export interface PacketLimits {
  readonly bytesMax: number;
  /** Called when a packet was announced that is larger; the connection ends. */
  tooLarge(): void;
}

/** Gives `client` the fast way to read PUBLISH packets, and a limit for all packets. */
export function readPackets(client: Client, limits: PacketLimits): void {
  const { _parser } = client as unknown as { readonly _parser: PacketParser };
  readPublishes(_parser, limits);
}

export function readPublishes(parser: PacketParser, limits: PacketLimits): void {
  const parse = parser.parse.bind(parser);
  let rest: Buffer = NOTHING;

  /** Takes the packet at `at` and answers where the next one begins, or -1 when it is not whole. */
  function take(bytes: Buffer, at: number): number {
    let length = 0;
    let position = at + 1;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[position++];
      if (byte === undefined) return -1;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
      if (shift === 7 * (LENGTH_BYTES_MAX - 1)) return other(bytes, at, bytes.length);
    }
    if (length > limits.bytesMax) {
      limits.tooLarge();
      parser._emitError(new Error(`packet of ${length} bytes, the limit is ${limits.bytesMax}`));
      return bytes.length;
    }
    const end = position + length;
    if (end > bytes.length) return -1;
    const publish = publishAt(bytes, at, position, end, length);
    if (!publish) return other(bytes, at, end);
    parser.emit('packet', publish);
    return end;
  }

  function other(bytes: Buffer, at: number, end: number): number {
    parse(bytes.subarray(at, end));
    return end;
  }

  parser.parse = (chunk) => {
    const busy = parser._list.length > 0 || parser._stateCounter !== 0;
    if (busy || parser.settings.protocolVersion === 5) return parse(chunk);
    const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    rest = NOTHING;
    let at = 0;
    while (at < bytes.length && !parser.error) {
      const next = take(bytes, at);
      if (next < 0) {
        const incomplete = bytes.subarray(at);
        if (incomplete.length > REST_BYTES_MAX) return parse(incomplete);
        rest = incomplete;
        return incomplete.length;
      }
      at = next;
    }
    return 0;
  };
}

/** The PUBLISH in `[position, end)`; undefined for anything else, and for what is not well-formed. */
function publishAt(
  bytes: Buffer,
  at: number,
  position: number,
  end: number,
  length: number,
): Publish | undefined {
  const header = bytes[at] ?? 0;
  const qos = (header >> 1) & 0x03;
  if (header >> 4 !== PUBLISH || qos === 3 || position + 2 > end) return undefined;
  const topicStart = position + 2;
  const topicEnd = topicStart + (((bytes[position] ?? 0) << 8) | (bytes[position + 1] ?? 0));
  const payloadStart = qos > 0 ? topicEnd + 2 : topicEnd;
  if (payloadStart > end || topicEnd === topicStart) return undefined;
  const messageId = ((bytes[topicEnd] ?? 0) << 8) | (bytes[topicEnd + 1] ?? 0);
  if (qos > 0 && messageId === 0) return undefined; // [MQTT-2.3.1-1]
  const topic = bytes.toString('utf8', topicStart, topicEnd);
  const payload = bytes.subarray(payloadStart, end);
  return qos > 0
    ? new Publish(header, length, topic, payload, messageId)
    : new Publish(header, length, topic, payload);
}
