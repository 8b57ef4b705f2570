/**
 * CloudEvents 1.0 in JSON (docs: "Event on the wire"). Text is put together from parts that are
 * escaped once and remembered: `JSON.stringify` of whole objects takes three times as long, and a
 * backlog is drained by this function.
 */

import type {
  Batch,
  DataReference,
  Decode,
  Decoded,
  HubEvent,
  Reading,
  ReadingAggregate,
} from './event.ts';
import { remembering } from './remembered.ts';
import { formatTraceparent } from './trace.ts';

export interface CloudEventOptions {
  readonly hubId: string;
  readonly logId: string;
  readonly decode: Decode;
  /**
   * `payload`: `data` is the payload when it is JSON, else it is in `data_base64`.
   * `readings`: `data` is an array of decoded readings; an event without any has its payload in
   * `data_base64`, so that the two cannot be mistaken for each other.
   */
  readonly content: 'payload' | 'readings';
  /** Marks what is sent again on request. */
  readonly replay?: boolean;
  /** Marks what is sent after newer events. */
  readonly backfill?: boolean;
}

/**
 * The words of a Pi are few and come again: 4,096 topics are 2 MiB, or 20 MiB at the very worst.
 */
const REMEMBERED_MAX = 4_096;
const REMEMBERED_CHARS_MAX = 1_024;
const SEQUENCE_DIGITS = 16;
/** What four digits of a year can say (RFC 3339): years 0 to 9999. */
const TIME_MS_MIN = -62_167_219_200_000;
const TIME_MS_MAX = 253_402_300_799_999;

const THREE_DIGITS = Array.from({ length: 1000 }, (_, n) => String(n).padStart(3, '0'));

/** Half of a pair has no UTF-8 form, and CloudEvents forbids it. */
export const wellFormed = (text: string): string => text.replaceAll(/\p{Surrogate}/gu, '\ufffd');

const quote = (text: string): string => JSON.stringify(wellFormed(text));

/** RFC 3339 with milliseconds; '' for what it cannot say. Remembers the last second. */
function timeFormatter(): (timeMs: number) => string {
  let second = Number.NaN;
  let upToSecond = '';
  return (timeMs) => {
    if (!(timeMs >= TIME_MS_MIN && timeMs <= TIME_MS_MAX)) return '';
    const wholeMs = Math.floor(timeMs);
    const ofSecond = Math.floor(wholeMs / 1000);
    if (ofSecond !== second) {
      second = ofSecond;
      upToSecond = new Date(ofSecond * 1000).toISOString().slice(0, -4);
    }
    return `${upToSecond}${THREE_DIGITS[wholeMs - ofSecond * 1000]}Z`;
  };
}

/** Zero-padded offset. Remembers all but the last three digits, which change with every event. */
function sequenceFormatter(): (offset: number) => string {
  let thousands = -1;
  let padded = '';
  return (offset) => {
    const ofOffset = Math.floor(offset / 1000);
    if (ofOffset !== thousands) {
      thousands = ofOffset;
      padded = String(ofOffset).padStart(SEQUENCE_DIGITS - 3, '0');
    }
    return `${padded}${THREE_DIGITS[offset - ofOffset * 1000]}`;
  };
}

/** JSON in a line of its own: a line break in JSON text can only stand between tokens. */
function oneLine(json: string): string {
  return json.includes('\n') || json.includes('\r') ? json.replaceAll(/[\r\n]/g, ' ') : json;
}

function valueText(value: Reading['value'], quoted: (text: string) => string): string {
  if (typeof value === 'number') return Number.isFinite(value) ? String(value + 0) : 'null';
  return typeof value === 'string' ? quoted(value) : String(value);
}

function aggregateText(
  { min, max, count, toMs }: ReadingAggregate,
  formatTime: (timeMs: number) => string,
): string {
  const to = formatTime(toMs);
  const extremes =
    min === undefined || max === undefined ? '' : `,"min":${min + 0},"max":${max + 0}`;
  return `${extremes},"count":${count}${to && `,"to":"${to}"`}`;
}

function readingsFormatter(): (readings: readonly Reading[]) => string {
  const quoted = remembering(REMEMBERED_MAX, REMEMBERED_CHARS_MAX, quote);
  const formatTime = timeFormatter();
  const one = (reading: Reading): string => {
    const { device, metric, unit, timeMs } = reading;
    const value = valueText(reading.value, quote); // texts that are values differ: not remembered
    let tags = '';
    for (const key in reading.tags)
      tags += `${tags && ','}${quoted(key)}:${quoted(reading.tags[key] ?? '')}`;
    const aggregate = reading.aggregate ? aggregateText(reading.aggregate, formatTime) : '';
    const unitPart = unit === undefined ? '' : `,"unit":${quoted(unit)}`;
    const time = formatTime(timeMs);
    const timePart = time && `,"time":"${time}"`;
    const names = `"device":${quoted(device)},"metric":${quoted(metric)}`;
    return `{${names},"value":${value}${aggregate}${unitPart}${timePart},"tags":{${tags}}}`;
  };
  return (readings) => {
    let text = '';
    for (const reading of readings) text += `${text && ','}${one(reading)}`;
    return `[${text}]`;
  };
}

/** Attributes that are the same for every event of one topic, kind and device. */
interface Fixed {
  readonly kind: string;
  readonly device: string;
  readonly text: string;
}

function fixedAttributes(
  { hubId, replay, backfill }: CloudEventOptions,
  event: HubEvent,
  device: string,
): string {
  const hub = wellFormed(hubId);
  const known = wellFormed(device);
  const hubPath = `/hubs/${encodeURIComponent(hub)}`;
  const source = known === '' ? hubPath : `${hubPath}/devices/${encodeURIComponent(known)}`;
  const attributes = {
    source,
    type: `dev.holdfast.${event.kind}.v1`,
    // CloudEvents attributes are absent rather than empty.
    ...(event.topic !== '' && { subject: wellFormed(event.topic) }),
    hub,
    ...(known !== '' && { partitionkey: known }),
    ...(replay && { replay }),
    ...(backfill && { backfill }),
  };
  return JSON.stringify(attributes).slice(1, -1);
}

/** What an event is a fact of: the bytes that `data_base64` holds, and their type. */
export interface EventData {
  readonly type: 'application/json' | 'application/octet-stream';
  readonly content: Buffer;
}

/** The payload as it was published. That of an aggregate is made anew: its own is for the log. */
export function eventData(event: HubEvent, { json }: Pick<Decoded, 'json'>): EventData {
  if (json === undefined) return { type: 'application/octet-stream', content: event.payload };
  // the payload of an aggregate has times that mean something only together with its own
  const content = event.kind === 'aggregate' ? Buffer.from(json) : event.payload;
  return { type: 'application/json', content };
}

/** The CloudEvents extension `dataref`: what is to be fetched from somewhere else. */
function referenceText({ url, bytes, sha256 }: DataReference): string {
  const reference = { dataref: url, datarefbytes: bytes, datarefsha256: sha256 };
  return JSON.stringify(reference).slice(1, -1);
}

/** What duplicates are found by; without an offset, what all events of a lane begin with. */
export function eventId(hubId: string, logId: string, lane: string, offset: number | ''): string {
  return `${wellFormed(hubId)}.${logId}.${lane}.${offset}`;
}

/**
 * Makes the function that turns an event into a CloudEvent as one line of JSON text without a line
 * break. Its text begins with `{"specversion":"1.0","id":"`.
 */
export function cloudEventEncoder(options: CloudEventOptions): (event: HubEvent) => string {
  const { hubId, logId, decode, content } = options;
  const fixedByTopic = new Map<string, Fixed>();
  const beginnings = new Map<string, string>();
  const formatTime = timeFormatter();
  const formatReceived = timeFormatter();
  const formatSequence = sequenceFormatter();
  const formatReadings = readingsFormatter();

  function beginning(lane: string): string {
    let text = beginnings.get(lane);
    if (text === undefined) {
      const id = JSON.stringify(eventId(hubId, logId, lane, '')).slice(0, -1);
      text = `{"specversion":"1.0","id":${id}`;
      beginnings.set(lane, text);
    }
    return text;
  }

  function fixed(event: HubEvent, device: string): string {
    const known = fixedByTopic.get(event.topic);
    if (known !== undefined && known.device === device && known.kind === event.kind)
      return known.text;
    const text = fixedAttributes(options, event, device);
    if (fixedByTopic.size >= REMEMBERED_MAX) fixedByTopic.clear();
    if (event.topic.length + device.length <= REMEMBERED_CHARS_MAX)
      fixedByTopic.set(event.topic, { kind: event.kind, device, text });
    return text;
  }

  function data(event: HubEvent, decoded: Decoded): string {
    const { json, readings } = decoded;
    if (event.reference) {
      const { type } = eventData(event, decoded);
      return `"datacontenttype":"${type}",${referenceText(event.reference)}`;
    }
    if (content === 'readings' && readings.length > 0)
      return `"datacontenttype":"application/json","data":${formatReadings(readings)}`;
    if (content === 'payload' && json !== undefined)
      return `"datacontenttype":"application/json","data":${oneLine(json)}`;
    const { type, content: payload } = eventData(event, decoded);
    return `"datacontenttype":"${type}","data_base64":"${payload.toString('base64')}"`;
  }

  return (event) => {
    const decoded = decode(event);
    const time = formatTime(decoded.timeMs);
    const received = formatReceived(event.receivedMs);
    const which = `${beginning(event.lane)}${event.offset}",${fixed(event, decoded.device)}`;
    const sequence = `"sequence":"${formatSequence(event.offset)}"`;
    const timePart = time && `"time":"${time}",`;
    const receivedPart = received && `"receivedtime":"${received}",`;
    const times = `${timePart}${receivedPart}"timequality":"${decoded.timeQuality}"`;
    const { trace } = event;
    const tracePart = trace === undefined ? '' : `,"traceparent":"${formatTraceparent(trace)}"`;
    return `${which},${sequence},${times}${tracePart},${data(event, decoded)}}`;
  };
}

/** The encoder for the events of a batch: those of a replay and of a backlog are marked. */
export function cloudEventBatchEncoder(
  options: CloudEventOptions,
): (batch: Batch) => (event: HubEvent) => string {
  const live = cloudEventEncoder(options);
  const replay = cloudEventEncoder({ ...options, replay: true });
  const backfill = cloudEventEncoder({ ...options, backfill: true });
  return (batch) => {
    if (batch.replay !== undefined) return replay;
    return batch.backfill ? backfill : live;
  };
}
