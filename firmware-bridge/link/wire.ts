/** The bodies of the frames of Holdfast Link (docs/link.md). Numbers have the low byte first. */
import { encodeFrame, type Frame } from './frame.ts';

export const LINK_VERSION = 1;
/** Readings on the way. Each has a slot in what the hub remembers of a device. */
export const WINDOW_MAX = 32;
export const DEVICE_ID = /^[A-Za-z0-9_.-]{1,32}$/;

const TYPES = {
  hello: 0x01,
  reading: 0x02,
  ping: 0x03,
  answer: 0x04,
  welcome: 0x81,
  ack: 0x82,
  nak: 0x83,
  wait: 0x84,
  who: 0x85,
  command: 0x86,
  pong: 0x87,
} as const;

export interface Hello {
  readonly kind: 'hello';
  readonly version: number;
  readonly nonce: number;
  /** 0: it has none, and wants one. */
  readonly session: number;
  /** The oldest number that it holds. */
  readonly first: number;
  /** One more than the newest number that it may have sent. */
  readonly next: number;
  readonly window: number;
  /** The longest frame that it can take. */
  readonly frameBytesMax: number;
  readonly device: string;
}

export interface WireReading {
  readonly kind: 'reading';
  readonly tag: number;
  readonly sequence: number;
  /** From its time on; see `readingOf`. */
  readonly record: Buffer;
}

export type FromDevice =
  | Hello
  | WireReading
  | { readonly kind: 'ping'; readonly tag: number }
  | {
      readonly kind: 'answer';
      readonly id: number;
      readonly status: number;
      readonly payload: Buffer;
    };

/** Undefined for what no firmware of this version says. */
export function parse({ type, body }: Frame): FromDevice | undefined {
  switch (type) {
    case TYPES.hello:
      return hello(body);
    case TYPES.reading:
      if (body.length < 6) return undefined;
      return {
        kind: 'reading',
        tag: body.readUInt16LE(0),
        sequence: body.readUInt32LE(2),
        record: body.subarray(6),
      };
    case TYPES.ping:
      return body.length < 2 ? undefined : { kind: 'ping', tag: body.readUInt16LE(0) };
    case TYPES.answer:
      if (body.length < 5) return undefined;
      return {
        kind: 'answer',
        id: body.readUInt32LE(0),
        status: body[4] ?? 0,
        payload: body.subarray(5),
      };
    default:
      return undefined;
  }
}

function hello(body: Buffer): Hello | undefined {
  if (body.length < 18) return undefined;
  const device = body.toString('latin1', 17);
  const first = body.readUInt32LE(7);
  const next = body.readUInt32LE(11);
  const window = body[15] ?? 0;
  if (!DEVICE_ID.test(device) || window === 0 || first === 0 || next < first) return undefined;
  return {
    kind: 'hello',
    version: body[0] ?? 0,
    nonce: body.readUInt16LE(1),
    session: body.readUInt32LE(3),
    first,
    next,
    window,
    frameBytesMax: body[16] ?? 0,
    device,
  };
}

export interface LinkTime {
  readonly wallMs: number;
  readonly synced: boolean;
}

function putTime(body: Buffer, at: number, { wallMs, synced }: LinkTime): void {
  body[at] = synced ? 2 : 1;
  body.writeUIntLE(Math.max(0, Math.floor(wallMs)), at + 1, 6);
}

export function welcome(
  nonce: number,
  session: number,
  last: number,
  window: number,
  time: LinkTime,
): Buffer {
  const body = Buffer.alloc(19);
  body[0] = LINK_VERSION;
  body.writeUInt16LE(nonce, 1);
  body.writeUInt32LE(session, 3);
  body.writeUInt32LE(last, 7);
  body[11] = window;
  putTime(body, 12, time);
  return encodeFrame(TYPES.welcome, body);
}

/** Of what a frame of a session says first: which session, and what is on stable storage. */
function ofSession(session: number, last: number, moreBytes: number): Buffer {
  const body = Buffer.alloc(6 + moreBytes);
  body.writeUInt16LE(session & 0xffff, 0);
  body.writeUInt32LE(last, 2);
  return body;
}

export function ack(session: number, last: number): Buffer {
  return encodeFrame(TYPES.ack, ofSession(session, last, 0));
}

/** `wanted`: to be sent again from this number on. */
export function nak(session: number, last: number, wanted: number): Buffer {
  const body = ofSession(session, last, 4);
  body.writeUInt32LE(wanted, 6);
  return encodeFrame(TYPES.nak, body);
}

export function wait(session: number, last: number, waitMs: number): Buffer {
  const body = ofSession(session, last, 2);
  body.writeUInt16LE(waitMs, 6);
  return encodeFrame(TYPES.wait, body);
}

export function pong(session: number, last: number, time: LinkTime): Buffer {
  const body = ofSession(session, last, 7);
  putTime(body, 6, time);
  return encodeFrame(TYPES.pong, body);
}

export function who(): Buffer {
  return encodeFrame(TYPES.who, Buffer.alloc(0));
}

/** Bytes of a frame besides name and payload of the command. */
export const COMMAND_BYTES = 8;

export function command(id: number, name: Buffer, payload: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32LE(id, 0);
  head[4] = name.length;
  return encodeFrame(TYPES.command, Buffer.concat([head, name, payload]));
}
