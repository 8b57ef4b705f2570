/**
 * What `thin` makes of events: one aggregate per topic, source and interval.
 *
 * Invariants:
 * - each event is in exactly one aggregate, with all its readings, or is kept as it is: what is no
 *   measurement (losses, health, alarms), and what would be alone;
 * - aggregates combine as if the readings that they stand for were there;
 * - a record has the place and the arrival of the last of its events.
 *
 * Intervals are aligned to 1970, in corrected time. An aggregate belongs to the interval in which
 * it begins; as intervals double that is the one it lies in, but for the longest, which is a day.
 */
import type { Decode, Decoded, HubEvent, Message } from '../core/event.ts';
import { mapInSlices } from '../core/slices.ts';
import type { Aggregate, Thinned, ThinRecord } from '../log/room/thinner.ts';
import {
  type AggregatedReading,
  type AggregateFacts,
  openAggregate,
  sealAggregate,
} from './aggregate-payload.ts';
import { LastSummary, NumberSummary } from './figures.ts';
import { Slice } from './slice.ts';

/** The readings of one device, metric, unit and kind of value. */
interface Series {
  readonly names: Pick<AggregatedReading, 'device' | 'metric' | 'unit' | 'tags'>;
  readonly summary: NumberSummary | LastSummary;
}

/** An aggregate in the making. */
class Bucket {
  readonly ownTime: boolean;
  last: HubEvent;
  /** Messages and aggregates that were put into it. */
  messages = 0;
  aggregates = 0;
  #events = 0;
  #fromMs = Number.POSITIVE_INFINITY;
  #toMs = Number.NEGATIVE_INFINITY;
  /** By metric: nearly always one of each. */
  readonly #series = new Map<string, Series[]>();
  #payloads: { count: number; last: string | Buffer } | undefined;

  constructor(first: HubEvent, ownTime: boolean) {
    this.last = first;
    this.ownTime = ownTime;
  }

  /** One event is all there is in it. */
  get single(): boolean {
    return this.messages + this.aggregates === 1;
  }

  addMessage({ payload }: HubEvent, { readings, timeMs }: Decoded): void {
    this.messages++;
    this.#events++;
    this.#reach(timeMs, timeMs);
    if (readings.length === 0) {
      this.#payloads = { count: (this.#payloads?.count ?? 0) + 1, last: payload };
    }
    for (const { value, ...reading } of readings) {
      const count = 1;
      const figures =
        typeof value === 'number'
          ? { min: value, mean: value, max: value, count }
          : { last: value, count };
      this.#reach(reading.timeMs, reading.timeMs);
      this.#add({ ...reading, ...figures });
    }
  }

  addAggregate({ fromMs, toMs, events, readings, payloads }: AggregateFacts): void {
    this.aggregates++;
    this.#events += events;
    this.#reach(fromMs, toMs);
    for (const reading of readings) this.#add(reading);
    if (!payloads) return;
    const count = (this.#payloads?.count ?? 0) + payloads.count;
    this.#payloads = { count, last: payloads.last };
  }

  record(): ThinRecord {
    const { topic, source, offset, monotonicMs, receivedMs } = this.last;
    if (this.single) return { message: this.last, offset, monotonicMs };
    const payload = sealAggregate(this.#facts(), receivedMs);
    const message: Message = { topic, source, payload, kind: 'aggregate' };
    return { message, offset, monotonicMs };
  }

  #facts(): AggregateFacts {
    const readings = [...this.#series.values()]
      .flat()
      .map(({ names, summary }): AggregatedReading => ({ ...names, ...summary.figures() }));
    const payloads = this.#payloads;
    const last = payloads?.last;
    const text = typeof last === 'string' ? last : last?.toString('base64');
    return {
      fromMs: this.#fromMs,
      toMs: this.#toMs,
      ownTime: this.ownTime,
      events: this.#events,
      readings,
      ...(payloads && text !== undefined && { payloads: { count: payloads.count, last: text } }),
    };
  }

  #reach(fromMs: number, toMs: number): void {
    this.#fromMs = Math.min(this.#fromMs, fromMs);
    this.#toMs = Math.max(this.#toMs, toMs);
  }

  #add(reading: AggregatedReading): void {
    const { summary } = this.#seriesOf(reading);
    if (summary instanceof NumberSummary) {
      if ('mean' in reading) summary.add(reading);
    } else if ('last' in reading) summary.add(reading);
  }

  #seriesOf(reading: AggregatedReading): Series {
    const isNumber = 'mean' in reading;
    const all = this.#series.get(reading.metric) ?? [];
    const known = all.find(
      ({ names, summary }) =>
        names.device === reading.device &&
        names.unit === reading.unit &&
        summary instanceof NumberSummary === isNumber &&
        sameTags(names.tags, reading.tags),
    );
    if (known) return known;
    const { device, metric, unit, tags } = reading;
    const tagged = tags !== undefined && Object.keys(tags).length > 0;
    const names = { device, metric, ...(unit !== undefined && { unit }), ...(tagged && { tags }) };
    const series = { names, summary: isNumber ? new NumberSummary() : new LastSummary() };
    all.push(series);
    this.#series.set(metric, all);
    return series;
  }
}

function sameTags(a: Series['names']['tags'] = {}, b: Series['names']['tags'] = {}): boolean {
  if (a === b) return true; // captures of a topic are remembered
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

/** The buckets of one run, and what is kept between them. */
class Buckets {
  readonly #intervalMs: number;
  readonly #byKey = new Map<string, Bucket>();
  readonly #records: (Bucket | HubEvent)[] = [];
  #aggregatesIn = 0;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  keep(event: HubEvent): void {
    this.#records.push(event);
  }

  addMessage(event: HubEvent, decode: Decode): void {
    const decoded = decode(event);
    const ownTime = decoded.timeQuality === 'device';
    this.#of(event, decoded.timeMs, ownTime).addMessage(event, decoded);
  }

  addAggregate(event: HubEvent, facts: AggregateFacts): void {
    this.#aggregatesIn++;
    this.#of(event, facts.fromMs, facts.ownTime).addAggregate(facts);
  }

  async thinned(): Promise<Thinned> {
    let events = 0;
    let aggregates = -this.#aggregatesIn;
    const records = await mapInSlices(this.#records, (record): ThinRecord => {
      if (!(record instanceof Bucket)) {
        const { offset, monotonicMs } = record;
        return { message: record, offset, monotonicMs };
      }
      if (!record.single) events += record.messages;
      if (!record.single || record.aggregates > 0) aggregates++;
      return record.record();
    });
    records.sort((a, b) => a.offset - b.offset);
    return { records, events, aggregates };
  }

  #of(event: HubEvent, fromMs: number, ownTime: boolean): Bucket {
    const { topic, source } = event;
    const interval = Math.floor(fromMs / this.#intervalMs);
    const key = `${interval}/${ownTime}/${source}\0${topic}`;
    let bucket = this.#byKey.get(key);
    if (!bucket) {
      bucket = new Bucket(event, ownTime);
      this.#byKey.set(key, bucket);
      this.#records.push(bucket);
    }
    bucket.last = event;
    return bucket;
  }
}

/** `thin`'s view of events: what they measured, by `decode`. */
export function aggregator(decode: Decode): Aggregate {
  return async (events, intervalMs) => {
    const buckets = new Buckets(intervalMs);
    const slice = new Slice(() => performance.now());
    for (const event of events) {
      const facts = event.kind === 'aggregate' ? openAggregate(event) : undefined;
      if (facts) buckets.addAggregate(event, facts);
      else if (event.kind === 'message') buckets.addMessage(event, decode);
      else buckets.keep(event);
      if (slice.spent(event.payload.length)) await slice.yield();
    }
    return await buckets.thinned();
  };
}
