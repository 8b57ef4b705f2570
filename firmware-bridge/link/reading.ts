import type { LinkTime } from './wire.ts';

/** Time, number of lost readings, type and length of the name. */
const HEADER_BYTES = 13;
const AGE = 1;
/** As long as a level of a topic may be (format/topic.ts). */
const METRIC_CHARACTERS_MAX = 128;

/** A reading as it is published: a metric, and JSON as the decoder takes it. */
export interface LinkReading {
  readonly metric: string;
  readonly payload: Buffer;
  /** Readings that the device gave up before this one for want of room. */
  readonly lost: number;
}

/**
 * What is published of a record, however odd it is: a device goes on only when its record is
 * stored, so one that is refused would stop it for good. What cannot be read is kept as `raw`.
 */
export function readingOf(record: Buffer, now: LinkTime): LinkReading {
  const nameEnd = HEADER_BYTES + (record[12] ?? 0);
  if (record.length < HEADER_BYTES || record.length < nameEnd)
    return { metric: '_', payload: json({ raw: record.toString('base64') }), lost: 0 };
  const value = measured(record[11] ?? 0, record.subarray(nameEnd));
  const lost = record.readUInt32LE(7);
  const time = timeOf(record[0] ?? 0, record.readUIntLE(1, 6), now);
  return {
    metric: metricOf(record.toString('utf8', HEADER_BYTES, nameEnd)),
    payload: json({ ...value, ...time, ...(lost > 0 ? { lost } : {}) }),
    lost,
  };
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** A level of a topic, whatever the name is. */
function metricOf(name: string): string {
  const level = name.trim().slice(0, METRIC_CHARACTERS_MAX);
  return level.replaceAll(/[/+#$\p{C}\ufffd]/gu, '_') || '_';
}

/**
 * `t` in ms since 1970 when it is known well; `age_ms` when the clock of the hub may be corrected,
 * for the time of the arrival is corrected with it; neither for a clock that has begun anew.
 */
function timeOf(kind: number, ms: number, now: LinkTime): { t?: number; age_ms?: number } {
  if (kind === AGE) return now.synced ? { t: Math.floor(now.wallMs - ms) } : { age_ms: ms };
  return kind === 2 || kind === 3 ? { t: ms } : {};
}

function measured(type: number, bytes: Buffer): { v: number | string | boolean } | { raw: string } {
  if (type === 1 && bytes.length === 5)
    return { v: Number(`${bytes.readInt32LE(1)}e${bytes.readInt8(0)}`) };
  if (type === 2 && bytes.length === 4) return { v: shortest(bytes.readFloatLE(0)) };
  if (type === 3) return { v: bytes.toString('utf8') };
  if (type === 4 && bytes.length === 1) return { v: bytes[0] !== 0 };
  return { raw: bytes.toString('base64') };
}

/** 21.3 and not 21.299999237060547: the fewest digits that are this 32-bit number again. */
function shortest(value: number): number | string {
  if (!Number.isFinite(value)) return String(value); // JSON has no number for it
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return Number(value.toPrecision(9));
}
