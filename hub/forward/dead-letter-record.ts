import { type HubEvent, LANES, type Lane } from '../core/event.ts';
import { openRecord, sealRecord } from '../log/record.ts';

/** An event that the far side will not take, and why. With its payload: the log is trimmed. */
export interface DeadLetter {
  /** Counts up per sink, from 0; none is used twice. */
  readonly number: number;
  readonly reason: string;
  /** What the far side said, where it said something. */
  readonly response?: string;
  /** How often the far side was asked about this event. */
  readonly attempts: number;
  /** On the hub's wall clock, in ms since 1970. */
  readonly rejectedMs: number;
  /** When it was sent again last; null when it never was. */
  readonly retriedMs: number | null;
  /** With its place in the log: sent again, it has the id that it always had. */
  readonly event: HubEvent;
}

/** As it is stored. What came later is absent from letters of older versions. */
interface Stored {
  readonly number: number;
  readonly reason: string;
  readonly response?: string;
  readonly attempts?: number;
  readonly rejectedMs: number;
  readonly retriedMs?: number | null;
  readonly lane: Lane;
  readonly offset: number;
  readonly topic: string;
  readonly receivedMs: number;
  readonly payloadBase64: string;
  readonly more?: Omit<HubEvent, 'lane' | 'offset' | 'topic' | 'receivedMs' | 'payload'>;
}

/** What nobody had noted in older versions: their letters are messages of an unknown boot. */
const OLDER = {
  kind: 'message',
  source: 'unknown',
  timeQuality: 'estimated',
  monotonicMs: 0,
  bootId: '',
} as const;

/** Older versions wrote the bare JSON; a sealed record begins with its checksum. */
const BARE = '{'.charCodeAt(0);

export function sealLetter({ event, ...letter }: DeadLetter): Buffer {
  const { lane, offset, topic, receivedMs, payload, ...more } = event;
  const place = { lane, offset, topic, receivedMs };
  const stored: Stored = { ...letter, ...place, more, payloadBase64: payload.toString('base64') };
  return sealRecord(stored);
}

/** Undefined when it is damaged. */
export function openLetter(record: Buffer): DeadLetter | undefined {
  const stored = openRecord<Stored>(record) ?? bareLetter(record);
  if (!stored) return undefined;
  const { lane, offset, topic, receivedMs, payloadBase64, more, ...letter } = stored;
  const payload = Buffer.from(payloadBase64, 'base64');
  return {
    ...letter,
    attempts: letter.attempts ?? 1,
    retriedMs: letter.retriedMs ?? null,
    event: { ...OLDER, ...more, lane, offset, topic, receivedMs, payload },
  };
}

function bareLetter(record: Buffer): Stored | undefined {
  if (record[0] !== BARE) return undefined;
  try {
    const value: unknown = JSON.parse(record.toString());
    return isStored(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Nothing vouches for a bare letter, so its fields are looked at. */
function isStored(value: unknown): value is Stored {
  if (typeof value !== 'object' || value === null) return false;
  const fields = new Map<string, unknown>(Object.entries(value));
  const numbers = ['number', 'rejectedMs', 'offset', 'receivedMs'];
  const texts = ['reason', 'topic', 'payloadBase64'];
  return (
    LANES.some((lane) => lane === fields.get('lane')) &&
    numbers.every((name) => Number.isSafeInteger(fields.get(name))) &&
    texts.every((name) => typeof fields.get(name) === 'string')
  );
}
