/**
 * A block on disk: the events of one group commit in one lane, or what `thin` has made of several.
 *
 * Invariants:
 * - the first offset in the header equals the one in the key (checked on every read);
 * - the CRC covers everything after itself, in the stored (compressed) form;
 * - `bytesBefore` is the sum of the stored sizes of all blocks ever committed to the lane before
 *   this one, so that the size of any range is a subtraction of two headers, never a scan. A
 *   thinned block takes the place of those that it replaced, in offsets and in bytes: the next one
 *   begins at `firstOffset + span` and at `bytesBefore + replacedBytes`;
 * - within a block both clocks advance together, so one delta a record serves both.
 *
 *   0  4  "HFB" and the format version: 1, 2 for a thinned block, or 4 when records have traces
 *   4  4  CRC-32 of bytes 8..end
 *   8  4  number of events
 *  12  1  lane    13 1  encoding (0 plain, 1 deflate-raw)
 *  14  2  flags: 1 the wall clock was synchronised
 *  16  8  first offset
 *  24  8  wall clock of the first event (float64, ms since 1970)
 *  32  8  monotonic clock of the first event (float64, ms)
 *  40  8  boot id
 *  48  8  bytesBefore
 *  56  4  length of the body before compression
 *  60  4  ms from the first to the last event
 *  64  .  body: topics, sources, records (see block-body.ts)
 *
 * In a thinned block 16 bytes more come before the body:
 *  64  4  span: offsets it covers, at least the number of events
 *  68  4  interval of its aggregates in ms
 *  72  8  replacedBytes
 *
 * Integers are little endian. CRC-32 (zlib's) and not CRC-32C: Node.js has it built in.
 */
import { promisify } from 'node:util';
import { crc32, deflateRaw, deflateRawSync, inflateRaw, inflateRawSync } from 'node:zlib';
import { HubError } from '../../core/errors.ts';
import { LANES, type Lane } from '../../core/event.ts';

export const FORMAT_VERSION = 1;
export const HEADER_BYTES = 64;
/** Of a block that `thin` has made. */
const THINNED_VERSION = 2;
/**
 * Of a block with a trace in it, which no thinned one has. A hub that knows no traces would take
 * them for payload: it sets such a block aside instead. Two bits from the others: the version is
 * not under the CRC, and one flipped bit must not make one of another.
 */
const TRACED_VERSION = 4;
const VERSIONS = [FORMAT_VERSION, THINNED_VERSION, TRACED_VERSION];
const THINNED_HEADER_BYTES = 80;
const MAGIC = Buffer.from([0x48, 0x46, 0x42, FORMAT_VERSION]);
const ENCODING_PLAIN = 0;
const ENCODING_DEFLATE = 1;
const FLAG_CLOCK_SYNCED = 1;

/** Smaller bodies do not shrink enough to pay for the call. */
const COMPRESS_MIN_BYTES = 512;
/** From here on the thread pool is used: about 0.1 ms of work on a PC, 1 ms on a Pi. */
const OFF_THREAD_MIN_BYTES = 16 * 1024;
/** No block is larger: a group of 1 MiB and the largest message that MQTT knows, 256 MiB. */
const BODY_BYTES_MAX = 260 * 1024 * 1024;
/** No block has more events: a tail that is lost with its block is set so far beyond it. */
export const EVENTS_MAX = 0x1_0000;

const deflateOffThread = promisify(deflateRaw);
const inflateOffThread = promisify(inflateRaw);

export interface BlockHeader {
  readonly lane: Lane;
  readonly firstOffset: number;
  readonly count: number;
  readonly firstReceivedMs: number;
  readonly lastReceivedMs: number;
  readonly firstMonotonicMs: number;
  /** Whether something kept the wall clock synchronised when the first event came. */
  readonly clockSynced: boolean;
  readonly bootId: string;
  readonly bytesBefore: number;
  readonly storedBytes: number;
  /** Offsets it covers: `count`, unless it is thinned. */
  readonly span: number;
  /** The stored bytes whose place it takes: `storedBytes`, unless it is thinned. */
  readonly replacedBytes: number;
  /** Of its aggregates, in ms; 0 unless it is thinned. */
  readonly intervalMs: number;
}

/** What a thinned block says besides. */
export type ThinnedFacts = Pick<BlockHeader, 'span' | 'replacedBytes' | 'intervalMs'>;

/** On a Pi the card is slow, but so is the processor. */
const LEVEL = 1;
/**
 * The length of a body is known: in one piece it is decompressed four times as fast as in zlib's
 * pieces of 16 KiB. 64 is the least that zlib takes.
 */
const CHUNK_BYTES_MIN = 64;
const CHUNK_BYTES_MAX = 1024 * 1024;
/** What is thinned is small, and is to be kept for as long as the room allows. */
const THINNED_LEVEL = 6;

/** Compresses where it pays. */
async function pack(body: Buffer, level: number): Promise<{ encoding: number; bytes: Buffer }> {
  if (body.length >= COMPRESS_MIN_BYTES) {
    const packed =
      body.length >= OFF_THREAD_MIN_BYTES
        ? await deflateOffThread(body, { level })
        : deflateRawSync(body, { level });
    if (packed.length < body.length * 0.9) return { encoding: ENCODING_DEFLATE, bytes: packed };
  }
  return { encoding: ENCODING_PLAIN, bytes: body };
}

/** A body that can be given its place in the lane, which is known only when it is committed. */
export async function sealBlock(
  body: Buffer,
  facts: Omit<BlockHeader, 'firstOffset' | 'bytesBefore' | 'storedBytes' | keyof ThinnedFacts> & {
    /** Whether a record has a trace. */
    readonly traced?: boolean;
  },
  thinned?: ThinnedFacts,
): Promise<(firstOffset: number, bytesBefore: number) => Buffer> {
  const { encoding, bytes } = await pack(body, thinned ? THINNED_LEVEL : LEVEL);
  const headerBytes = thinned ? THINNED_HEADER_BYTES : HEADER_BYTES;
  const block = Buffer.allocUnsafe(headerBytes + bytes.length);
  MAGIC.copy(block, 0);
  if (facts.traced) block[3] = TRACED_VERSION;
  if (thinned) {
    block[3] = THINNED_VERSION;
    block.writeUInt32LE(thinned.span, 64);
    block.writeUInt32LE(thinned.intervalMs, 68);
    block.writeBigUInt64LE(BigInt(thinned.replacedBytes), 72);
  }
  block.writeUInt32LE(facts.count, 8);
  block[12] = LANES.indexOf(facts.lane);
  block[13] = encoding;
  block.writeUInt16LE(facts.clockSynced ? FLAG_CLOCK_SYNCED : 0, 14);
  block.writeDoubleLE(facts.firstReceivedMs, 24);
  block.writeDoubleLE(facts.firstMonotonicMs, 32);
  block.write(facts.bootId.padEnd(16, '0').slice(0, 16), 40, 'hex');
  block.writeUInt32LE(body.length, 56);
  block.writeUInt32LE(Math.min(facts.lastReceivedMs - facts.firstReceivedMs, 0xffff_ffff), 60);
  bytes.copy(block, headerBytes);
  return (firstOffset, bytesBefore) => {
    block.writeBigUInt64LE(BigInt(firstOffset), 16);
    block.writeBigUInt64LE(BigInt(bytesBefore), 48);
    block.writeUInt32LE(crc32(block.subarray(8)), 4);
    return block;
  };
}

function corrupt(lane: Lane, offset: number, what: string): HubError {
  return new HubError('LOG_CORRUPT', `block ${lane}/${offset}: ${what}`);
}

function headerBytesOf(block: Buffer): number {
  return block[3] === THINNED_VERSION ? THINNED_HEADER_BYTES : HEADER_BYTES;
}

/** Checks a stored block against its key and reads the header. Errors: LOG_CORRUPT. */
export function readHeader(lane: Lane, offset: number, block: Buffer): BlockHeader {
  if (block.length < HEADER_BYTES) throw corrupt(lane, offset, 'it is cut short');
  if (block.compare(MAGIC, 0, 3, 0, 3) !== 0) throw corrupt(lane, offset, 'it is not a block');
  const thinned = block[3] === THINNED_VERSION;
  if (!VERSIONS.includes(block[3] ?? 0)) {
    const known = VERSIONS.join(', ');
    throw corrupt(lane, offset, `it has format ${block[3]}, this hub reads ${known}`);
  }
  if (block.length < headerBytesOf(block)) throw corrupt(lane, offset, 'it is cut short');
  if (block.readUInt32LE(4) !== crc32(block.subarray(8))) {
    throw corrupt(lane, offset, 'its checksum does not match');
  }
  const firstOffset = Number(block.readBigUInt64LE(16));
  if (firstOffset !== offset || LANES[block[12] ?? -1] !== lane) {
    throw corrupt(lane, offset, `it says it is ${LANES[block[12] ?? -1]}/${firstOffset}`);
  }
  const firstReceivedMs = block.readDoubleLE(24);
  const count = block.readUInt32LE(8);
  return {
    lane,
    firstOffset,
    count,
    firstReceivedMs,
    lastReceivedMs: firstReceivedMs + block.readUInt32LE(60),
    firstMonotonicMs: block.readDoubleLE(32),
    clockSynced: (block.readUInt16LE(14) & FLAG_CLOCK_SYNCED) !== 0,
    bootId: block.toString('hex', 40, 48),
    bytesBefore: Number(block.readBigUInt64LE(48)),
    storedBytes: block.length,
    span: thinned ? block.readUInt32LE(64) : count,
    replacedBytes: thinned ? Number(block.readBigUInt64LE(72)) : block.length,
    intervalMs: thinned ? block.readUInt32LE(68) : 0,
  };
}

/** The body of a block whose header has been read. Errors: LOG_CORRUPT. */
export async function readBody(header: BlockHeader, block: Buffer): Promise<Buffer> {
  const stored = block.subarray(headerBytesOf(block));
  if (block[13] === ENCODING_PLAIN) return stored;
  const length = block.readUInt32LE(56);
  const maxOutputLength = Math.min(length, BODY_BYTES_MAX) || 1;
  const chunkSize = Math.max(CHUNK_BYTES_MIN, Math.min(length, CHUNK_BYTES_MAX));
  const options = { maxOutputLength, chunkSize };
  try {
    return length >= OFF_THREAD_MIN_BYTES
      ? await inflateOffThread(stored, options)
      : inflateRawSync(stored, options);
  } catch (cause) {
    const error = corrupt(header.lane, header.firstOffset, 'it cannot be decompressed');
    throw Object.assign(error, { cause });
  }
}
