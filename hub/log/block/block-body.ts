/**
 * The body of a block: which topics and sources occur, then the records.
 *
 *   u16 number of topics, each: varint length, UTF-8
 *   u8  number of sources, each: u8 length, UTF-8
 *   records: varint topic index, u8 kind, u8 source index, varint ms since the first record,
 *            varint payload length, trace, payload
 *   trace:   only when the high bit of the kind is set, which makes the format of the block 4:
 *            16 bytes trace id, 8 bytes span id, u8 flags
 *   in a thinned block, for each record: varint its offset less that of the one before it (of the
 *            first: the block's first offset less 1)
 *
 * Topics are stored once a block: the same few repeat, and a reader decides by block which to skip.
 */
import assert from 'node:assert';
import type { Clock } from '../../core/clock.ts';
import { type ArrivalQuality, EVENT_KINDS, type HubEvent, type Message } from '../../core/event.ts';
import type { TraceContext } from '../../core/trace.ts';
import type { Block } from '../log.ts';
import { type BlockHeader, EVENTS_MAX } from './block-format.ts';
import { type EventFacts, StoredEvent } from './stored-event.ts';

/** Where a varint of 32 bits ends at the latest, and the two fixed bytes of a record. */
const VARINT_BYTES_MAX = 5;
const RECORD_OVERHEAD_BYTES = 3 * VARINT_BYTES_MAX + 2;
const START_BYTES = 4 * 1024;
/** In the byte of the kind: a trace comes before the payload. */
const TRACED = 0x80;
const TRACE_ID_BYTES = 16;
const SPAN_ID_BYTES = 8;
const TRACE_BYTES = TRACE_ID_BYTES + SPAN_ID_BYTES + 1;
export const TOPICS_MAX = 0xffff;
export const SOURCES_MAX = 0xff;

function writeVarint(buffer: Buffer, position: number, value: number): number {
  let at = position;
  let rest = value;
  while (rest > 0x7f) {
    buffer[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  buffer[at++] = rest;
  return at;
}

function writeTrace(buffer: Buffer, at: number, { traceId, spanId, flags }: TraceContext): number {
  buffer.fill(0, at, at + TRACE_BYTES); // whatever the ids are, none of another event's bytes stay
  buffer.write(traceId, at, TRACE_ID_BYTES, 'hex');
  buffer.write(spanId, at + TRACE_ID_BYTES, SPAN_ID_BYTES, 'hex');
  buffer[at + TRACE_ID_BYTES + SPAN_ID_BYTES] = flags;
  return at + TRACE_BYTES;
}

function readTrace(bytes: Buffer, at: number): TraceContext {
  const spanAt = at + TRACE_ID_BYTES;
  const flagsAt = spanAt + SPAN_ID_BYTES;
  return {
    traceId: bytes.toString('hex', at, spanAt),
    spanId: bytes.toString('hex', spanAt, flagsAt),
    flags: bytes[flagsAt] ?? 0,
  };
}

/** What the times of a block are taken from. */
type Stamping = Pick<Clock, 'wallMs' | 'monotonicMs' | 'synced'>;

/**
 * Gathers records until the block is sealed. Copies payloads: the caller's buffer is free
 * again.
 */
export class BlockBuilder {
  readonly #topics = new Map<string, number>();
  readonly #sources = new Map<string, number>();
  readonly #countBySource: number[] = [];
  #records = Buffer.allocUnsafe(START_BYTES);
  #used = 0;
  #count = 0;
  #firstReceivedMs = 0;
  #firstMonotonicMs = 0;
  #clockSynced = false;
  #started = false;
  #nameBytes = 0;
  #lastDeltaMs = 0;
  #traced = false;

  get count(): number {
    return this.#count;
  }

  /** Bytes of the body so far, within a few. */
  get bytes(): number {
    return this.#used + this.#nameBytes;
  }

  get clockSynced(): boolean {
    return this.#clockSynced;
  }

  /** Whether any record has a trace. */
  get traced(): boolean {
    return this.#traced;
  }

  get firstReceivedMs(): number {
    return this.#firstReceivedMs;
  }

  get firstMonotonicMs(): number {
    return this.#firstMonotonicMs;
  }

  get lastReceivedMs(): number {
    return this.#firstReceivedMs + this.#lastDeltaMs;
  }

  /** Whether one more message might not fit the count or the indices of topics and sources. */
  get full(): boolean {
    const names = this.#topics.size >= TOPICS_MAX || this.#sources.size >= SOURCES_MAX;
    return names || this.#count >= EVENTS_MAX;
  }

  /** Events by source. */
  get sourceCounts(): ReadonlyMap<string, number> {
    return new Map([...this.#sources].map(([name, at]) => [name, this.#countBySource[at] ?? 0]));
  }

  /** The times of the block begin now, and not with the first event. */
  start(clock: Stamping): void {
    this.#started = true;
    this.#firstReceivedMs = clock.wallMs();
    this.#firstMonotonicMs = clock.monotonicMs();
    this.#clockSynced = clock.synced();
  }

  add(message: Message, clock: Stamping): void {
    const monotonicMs = clock.monotonicMs();
    if (!this.#started) this.start(clock);
    const { payload, trace } = message;
    const delta = Math.max(0, Math.round(monotonicMs - this.#firstMonotonicMs));
    this.#reserve(RECORD_OVERHEAD_BYTES + TRACE_BYTES + payload.length);
    const records = this.#records;
    let at = writeVarint(records, this.#used, this.#indexOf(this.#topics, message.topic));
    const kind = EVENT_KINDS.indexOf(message.kind ?? 'message');
    records[at++] = trace === undefined ? kind : kind | TRACED;
    const sourceIndex = this.#indexOf(this.#sources, message.source);
    records[at++] = sourceIndex;
    at = writeVarint(records, at, delta);
    at = writeVarint(records, at, payload.length);
    if (trace !== undefined) {
      at = writeTrace(records, at, trace);
      this.#traced = true;
    }
    at += payload.copy(records, at);
    this.#used = at;
    this.#lastDeltaMs = delta;
    this.#count++;
    this.#countBySource[sourceIndex] = (this.#countBySource[sourceIndex] ?? 0) + 1;
  }

  /** `steps` of a thinned block: from the offset of each record to that of the next. */
  body(steps: readonly number[] = []): Buffer {
    const parts: Buffer[] = [];
    const topicCount = Buffer.allocUnsafe(2);
    topicCount.writeUInt16LE(this.#topics.size);
    parts.push(topicCount);
    for (const topic of this.#topics.keys()) {
      const text = Buffer.from(topic);
      const length = Buffer.allocUnsafe(VARINT_BYTES_MAX);
      parts.push(length.subarray(0, writeVarint(length, 0, text.length)), text);
    }
    parts.push(Buffer.from([this.#sources.size]));
    for (const source of this.#sources.keys()) {
      const text = Buffer.from(source).subarray(0, 0xff);
      parts.push(Buffer.from([text.length]), text);
    }
    parts.push(this.#records.subarray(0, this.#used));
    for (const step of steps) {
      const varint = Buffer.allocUnsafe(VARINT_BYTES_MAX);
      parts.push(varint.subarray(0, writeVarint(varint, 0, step)));
    }
    return Buffer.concat(parts);
  }

  #indexOf(names: Map<string, number>, name: string): number {
    let index = names.get(name);
    if (index === undefined) {
      index = names.size;
      names.set(name, index);
      this.#nameBytes += Buffer.byteLength(name);
    }
    return index;
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes <= this.#records.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#records.length * 2, this.#used + bytes));
    this.#records.copy(larger, 0, 0, this.#used);
    this.#records = larger;
  }
}

/** Reads varints and bytes one after another; `at` is where the next one starts. */
class Cursor {
  at = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  byte(): number {
    const value = this.#bytes[this.at++];
    assert(value !== undefined, 'a block with a valid checksum ends within a record');
    return value;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }

  text(length: number): string {
    this.at += length;
    return this.#bytes.toString('utf8', this.at - length, this.at);
  }
}

/**
 * Numbers kept for a record: topic index, kind and source, delta, payload start, payload
 * length.
 */
const FIELDS = 5;
/** `TRACED`, in the field of kind and source. */
const TRACED_FIELD = TRACED << 8;

/** What the stamps of an event mean, as far as is known when it is asked: the `boots` table. */
export interface EventTimes {
  timeOf(
    arrival: Pick<HubEvent, 'bootId' | 'monotonicMs'>,
    stampedMs: number,
    synced: boolean,
  ): { readonly receivedMs: number; readonly timeQuality: ArrivalQuality };
}

/** For those who have no table: events have the times that they were stamped with. */
export const AS_STAMPED: EventTimes = {
  timeOf: (_arrival, stampedMs, synced) => ({
    receivedMs: stampedMs,
    timeQuality: synced ? 'synced' : 'estimated',
  }),
};

/** A block read back. The records' places are found once; events are made when asked for. */
export class StoredBlock implements Block {
  readonly topics: readonly string[];
  readonly #header: BlockHeader;
  readonly #body: Buffer;
  readonly #sources: readonly string[];
  readonly #fields: Uint32Array;
  readonly #times: EventTimes;
  /** Of a thinned block: how many offsets of it lie up to each record. */
  readonly #ends: Float64Array | undefined;

  constructor(header: BlockHeader, body: Buffer, times: EventTimes = AS_STAMPED) {
    this.#header = header;
    this.#times = times;
    this.#body = body;
    const cursor = new Cursor(body);
    const topicCount = body.readUInt16LE(0);
    cursor.at = 2;
    this.topics = Array.from({ length: topicCount }, () => cursor.text(cursor.varint()));
    const sourceCount = cursor.byte();
    this.#sources = Array.from({ length: sourceCount }, () => cursor.text(cursor.byte()));
    this.#fields = readRecords(cursor, header.count);
    this.#ends = header.intervalMs > 0 ? readEnds(cursor, header.count) : undefined;
  }

  get lane() {
    return this.#header.lane;
  }

  get firstOffset(): number {
    return this.#header.firstOffset;
  }

  get count(): number {
    return this.#header.count;
  }

  get span(): number {
    return this.#header.span;
  }

  get firstReceivedMs(): number {
    return this.#timeAt(0).receivedMs;
  }

  get lastReceivedMs(): number {
    return this.#timeAt(this.#header.lastReceivedMs - this.#header.firstReceivedMs).receivedMs;
  }

  get storedBytes(): number {
    return this.#header.storedBytes;
  }

  /** Bytes of the uncompressed body. */
  get bodyBytes(): number {
    return this.#body.length;
  }

  get header(): BlockHeader {
    return this.#header;
  }

  offsetAt(index: number): number {
    const { firstOffset } = this.#header;
    const end = this.#ends?.[index];
    return firstOffset + (end === undefined ? index : end - 1);
  }

  indexFrom(offset: number): number {
    const { firstOffset, count } = this.#header;
    if (!this.#ends) return Math.min(count, Math.max(0, offset - firstOffset));
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.offsetAt(middle) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  topicIndexAt(index: number): number {
    return this.#field(index, 0);
  }

  payloadBytesAt(index: number): number {
    return this.#field(index, 4);
  }

  eventAt(index: number): HubEvent {
    const kindAndSource = this.#field(index, 1);
    const delta = this.#field(index, 2);
    const start = this.#field(index, 3);
    const header = this.#header;
    const facts: EventFacts = {
      lane: header.lane,
      offset: this.offsetAt(index),
      kind: EVENT_KINDS[(kindAndSource >>> 8) & ~TRACED] ?? 'message',
      topic: this.topics[this.#field(index, 0)] ?? '',
      source: this.#sources[kindAndSource & 0xff] ?? '',
      ...this.#timeAt(delta),
      monotonicMs: header.firstMonotonicMs + delta,
      bootId: header.bootId,
    };
    const traced = (kindAndSource & TRACED_FIELD) !== 0;
    const trace = traced ? readTrace(this.#body, start - TRACE_BYTES) : undefined;
    return new StoredEvent(facts, trace, this.#body, start, start + this.payloadBytesAt(index));
  }

  #timeAt(deltaMs: number) {
    const { bootId, firstMonotonicMs, firstReceivedMs, clockSynced } = this.#header;
    const arrival = { bootId, monotonicMs: firstMonotonicMs + deltaMs };
    return this.#times.timeOf(arrival, firstReceivedMs + deltaMs, clockSynced);
  }

  #field(index: number, field: number): number {
    const value = this.#fields[index * FIELDS + field];
    assert(value !== undefined, `no event ${index} in a block of ${this.#header.count}`);
    return value;
  }
}

function readEnds(cursor: Cursor, count: number): Float64Array {
  const ends = new Float64Array(count);
  let end = 0;
  for (let index = 0; index < count; index++) {
    end += cursor.varint();
    ends[index] = end;
  }
  return ends;
}

function readRecords(cursor: Cursor, count: number): Uint32Array {
  const fields = new Uint32Array(count * FIELDS);
  for (let at = 0; at < fields.length; at += FIELDS) {
    fields[at] = cursor.varint();
    const kindAndSource = (cursor.byte() << 8) | cursor.byte();
    fields[at + 1] = kindAndSource;
    fields[at + 2] = cursor.varint();
    const length = cursor.varint();
    if ((kindAndSource & TRACED_FIELD) !== 0) cursor.at += TRACE_BYTES;
    fields[at + 3] = cursor.at;
    fields[at + 4] = length;
    cursor.at += length;
  }
  return fields;
}
