/**
 * Goal: aggregates say exactly what they stand for, however often they are put together. Method:
 * random readings, aggregated in random pieces and again, against the plain list.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cloudEventEncoder } from '../../hub/core/cloud-event.ts';
import type { EventKind, HubEvent } from '../../hub/core/event.ts';
import type { ThinRecord } from '../../hub/log/room/thinner.ts';
import { aggregator } from '../../hub/process/aggregate.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { NumberSummary } from '../../hub/process/figures.ts';

const START_MS = Date.UTC(2026, 2, 1, 12);
const decode = createDecoder([
  { topic: 'site/{area}/{device}/{metric}', format: 'number' },
  { topic: 'json/{device}', format: 'json', time: { field: 'at', unit: 'ms' } },
]);
const aggregate = aggregator(decode);

function eventOf(
  offset: number,
  atMs: number,
  topic: string,
  payload: string | Buffer,
  kind: EventKind = 'message',
): HubEvent {
  return {
    lane: 'normal',
    offset,
    kind,
    topic,
    payload: Buffer.from(payload),
    source: 'mqtt',
    receivedMs: START_MS + atMs,
    timeQuality: 'synced',
    monotonicMs: atMs,
    bootId: 'boot',
  };
}

/** As they come back from the log. */
function readBack(records: readonly ThinRecord[]): HubEvent[] {
  return records.map(({ message, offset, monotonicMs }) => {
    const { topic, payload, kind, source } = message;
    return { ...eventOf(offset, monotonicMs, topic, payload, kind), source };
  });
}

const close = (a: number, b: number, scale: number) =>
  Math.abs(a - b) <= 1e-12 * scale + Number.MIN_VALUE;

const anyNumber = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.double({ min: -1_000, max: 1_000, noNaN: true }),
  fc.integer({ min: -100, max: 100 }),
);

/** Exact sums of doubles, in units of the smallest one. */
function exactMean(values: readonly number[]): number {
  const bits = new DataView(new ArrayBuffer(8));
  let sum = 0n;
  for (const value of values) {
    bits.setFloat64(0, value);
    const high = bits.getUint32(0);
    const exponent = (high >>> 20) & 0x7ff;
    const mantissa = (BigInt(high & 0xfffff) << 32n) | BigInt(bits.getUint32(4));
    const units = exponent === 0 ? mantissa : (mantissa | (1n << 52n)) << BigInt(exponent - 1);
    sum += value < 0 ? -units : units;
  }
  const mean = sum / BigInt(values.length);
  const digits = (mean < 0n ? -mean : mean).toString(2).length;
  const shift = Math.max(0, digits - 60);
  return (
    Number(mean >> BigInt(shift)) *
    2 ** Math.min(shift, 900) *
    2 ** (Math.max(0, shift - 900) - 1074)
  );
}

test('summaries combine to what all values say, in whatever groups they come', () => {
  const groups = fc.array(fc.array(anyNumber, { minLength: 1, maxLength: 20 }), { minLength: 1 });
  fc.assert(
    fc.property(groups, fc.nat(), (parts, turn) => {
      const all = parts.flat();
      const turned = [...parts.slice(turn % parts.length), ...parts.slice(0, turn % parts.length)];
      const whole = new NumberSummary();
      for (const part of turned) {
        const summary = new NumberSummary();
        for (const value of part) summary.add({ min: value, mean: value, max: value, count: 1 });
        whole.add(summary.figures());
      }
      const { min, mean, max, count } = whole.figures();
      assert.equal(min, Math.min(...all));
      assert.equal(max, Math.max(...all));
      assert.equal(count, all.length);
      const scale = Math.max(...all.map(Math.abs));
      assert.ok(close(mean, exactMean(all), scale), `${mean} for ${exactMean(all)}`);
      assert.ok(min <= mean && mean <= max);
    }),
  );
});

const reading = fc.record({
  gapMs: fc.oneof(fc.constant(0), fc.nat(3_000), fc.nat(40_000)),
  device: fc.nat(3),
  value: fc.integer({ min: -1_000_000, max: 1_000_000 }),
});

function eventsOf(readings: readonly { gapMs: number; device: number; value: number }[]) {
  let atMs = 0;
  return readings.map(({ gapMs, device, value }, offset) => {
    atMs += gapMs;
    return eventOf(offset, atMs, `site/a/dev${device}/temp`, String(value));
  });
}

interface Group {
  events: number;
  sum: number;
  min: number;
  max: number;
  fromMs: number;
  toMs: number;
}

/** By device and interval, from single events and aggregates alike. */
function groups(events: readonly HubEvent[], intervalMs: number): Map<string, Group> {
  const found = new Map<string, Group>();
  for (const event of events) {
    const [read] = decode(event).readings;
    assert.ok(read && typeof read.value === 'number');
    const { value, timeMs } = read;
    const {
      count,
      min = value,
      max = value,
      fromMs,
      toMs,
    } = read.aggregate ?? {
      ...{ count: 1, fromMs: timeMs, toMs: timeMs },
    };
    const key = `${read.device} ${Math.floor(timeMs / intervalMs)}`;
    const group = found.get(key);
    found.set(key, {
      events: (group?.events ?? 0) + count,
      sum: (group?.sum ?? 0) + value * count,
      min: Math.min(group?.min ?? min, min),
      max: Math.max(group?.max ?? max, max),
      fromMs: Math.min(group?.fromMs ?? fromMs, fromMs),
      toMs: Math.max(group?.toMs ?? toMs, toMs),
    });
  }
  return found;
}

test('each interval has what its events say, also when aggregates are aggregated again', async () => {
  const readings = fc.array(reading, { minLength: 1, maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(readings, fc.array(fc.nat(60), { maxLength: 4 }), async (list, cuts) => {
      const events = eventsOf(list);
      let records: readonly HubEvent[] = events;
      for (const [level, cut] of [...cuts, 0].entries()) {
        const intervalMs = 10_000 * 2 ** level;
        const at = cut % (records.length + 1); // in two pieces, as blocks are
        const pieces = [records.slice(0, at), records.slice(at)];
        const done = await Promise.all(pieces.map((piece) => aggregate(piece, intervalMs)));
        records = readBack(done.flatMap((piece) => piece.records));
        const offsets = records.map(({ offset }) => offset);
        assert.deepEqual(
          offsets,
          [...new Set(offsets)].sort((a, b) => a - b),
        );
        assert.equal(offsets.at(-1), events.length - 1);
        const wanted = groups(events, intervalMs);
        const found = groups(records, intervalMs);
        assert.deepEqual([...found.keys()].sort(), [...wanted.keys()].sort());
        for (const [key, group] of wanted) {
          const { sum, ...others } = found.get(key) ?? assert.fail(key);
          assert.ok(close(sum, group.sum, group.events * 1_000_000), `${key}: ${sum}`);
          assert.deepEqual({ ...others, sum: group.sum }, group);
        }
      }
    }),
  );
});

async function one(events: readonly HubEvent[]): Promise<HubEvent> {
  const { records } = await aggregate(events, 60_000);
  assert.equal(records.length, 1);
  return readBack(records)[0] ?? assert.fail();
}

const wire = (event: HubEvent) => JSON.parse(decode(event).json ?? '');

test('on the wire it says from when to when, how many, and what', async () => {
  const values = ['{"temp":20,"on":true,"unit":"x"}', '{"temp":22.5,"on":false}', '{"temp":"n/a"}'];
  const event = await one(values.map((text, at) => eventOf(at, at * 1_000, 'json/dev1', text)));
  assert.equal(event.kind, 'aggregate');
  assert.equal(event.source, 'mqtt');
  assert.equal(event.topic, 'json/dev1');
  assert.equal(event.offset, 2);
  assert.deepEqual(wire(event), {
    from: '2026-03-01T12:00:00.000Z',
    to: '2026-03-01T12:00:02.000Z',
    events: 3,
    readings: [
      { device: 'dev1', metric: 'temp', min: 20, mean: 21.25, max: 22.5, count: 2 },
      { device: 'dev1', metric: 'temp', last: 'n/a', count: 1 },
      { device: 'dev1', metric: 'on', last: false, count: 2 },
      { device: 'dev1', metric: 'unit', last: 'x', count: 1 },
    ],
  });
  const { device, timeMs, readings } = decode(event);
  assert.equal(device, 'dev1');
  assert.equal(timeMs, START_MS);
  const stands = { fromMs: START_MS, toMs: START_MS + 2_000 };
  assert.deepEqual(readings[0], {
    ...{ device: 'dev1', metric: 'temp', value: 21.25, timeMs, timeQuality: 'synced', tags: {} },
    aggregate: { count: 2, min: 20, max: 22.5, ...stands },
  });
  assert.deepEqual(readings[2]?.value, false);
  assert.deepEqual(readings[2]?.aggregate, { count: 2, ...stands });
});

test('tags and units are kept; readings of another unit are a series of their own', async () => {
  const tagged = await one([0, 1].map((at) => eventOf(at, at, 'site/green house/d/temp', '1')));
  assert.deepEqual(wire(tagged).readings, [
    {
      device: 'd',
      metric: 'temp',
      tags: { area: 'green house' },
      min: 1,
      mean: 1,
      max: 1,
      count: 2,
    },
  ]);
  const texts = ['{"v":1,"u":"C"}', '{"v":34,"u":"F"}', '{"v":3,"u":"C"}'];
  const units = await one(texts.map((text, at) => eventOf(at, at, 'json/d', text)));
  assert.deepEqual(
    wire(units).readings.map(({ unit, mean, count }: Record<string, unknown>) => [
      unit,
      mean,
      count,
    ]),
    [
      ['C', 2, 2],
      ['F', 34, 1],
    ],
  );
});

test('payloads without readings are counted, and the last one is kept', async () => {
  const bytes = Buffer.from([0xff, 0x00]);
  const first = await one([eventOf(0, 0, 'other', 'a'), eventOf(1, 1, 'other', bytes)]);
  const again = await one([first, eventOf(2, 2, 'other', 'b'), eventOf(3, 3, 'other', 'last')]);
  assert.deepEqual(wire(again), {
    from: '2026-03-01T12:00:00.000Z',
    to: '2026-03-01T12:00:00.003Z',
    events: 4,
    readings: [],
    payloads: { count: 4, last: Buffer.from('last').toString('base64') },
  });
  assert.equal(wire(first).payloads.last, bytes.toString('base64'));
});

test('times of arrival follow the clock that is corrected later, the own ones do not', async () => {
  const later = (event: HubEvent) => ({ ...event, receivedMs: event.receivedMs + 86_400_000 });
  const arrived = await one([0, 1_500].map((at) => eventOf(at, at, 'site/a/b/c', '1')));
  assert.equal(wire(later(arrived)).from, '2026-03-02T12:00:00.000Z');
  assert.equal(wire(later(arrived)).to, '2026-03-02T12:00:01.500Z');
  const own = (at: number) => `{"temp":1,"at":${START_MS - 3_000 + at}}`;
  const measured = await one([0, 1].map((at) => eventOf(at, at, 'json/dev1', own(at))));
  assert.equal(wire(later(measured)).from, '2026-03-01T11:59:57.000Z');
  assert.equal(decode(later(measured)).timeQuality, 'device');
});

test('what is alone, or no measurement, is kept as it is', async () => {
  const events = [
    eventOf(0, 0, 'site/a/b/c', '1'),
    eventOf(1, 1, 'holdfast/loss', '{}', 'loss'),
    eventOf(2, 2, 'site/a/b/d', '1'),
    eventOf(3, 3, 'holdfast/loss', '{}', 'loss'),
    eventOf(4, 4, 'site/a/b/d', '3'),
    eventOf(5, 5, 'fire', '!', 'alarm'),
  ];
  const { records, events: merged, aggregates } = await aggregate(events, 10_000);
  assert.deepEqual(
    records.map(({ offset, message }) => `${offset} ${message.kind}`),
    ['0 message', '1 loss', '3 loss', '4 aggregate', '5 alarm'],
  );
  assert.deepEqual({ merged, aggregates }, { merged: 2, aggregates: 1 });
  const again = await aggregate(readBack(records), 20_000);
  assert.deepEqual([again.events, again.aggregates], [0, 0]);
  assert.deepEqual(
    again.records.map(({ message }) => message.payload.toString()),
    records.map(({ message }) => message.payload.toString()),
  );
});

test('sources do not mix', async () => {
  const other = { ...eventOf(1, 1, 'site/a/b/c', '3'), source: 'bridge:pico' };
  const { records } = await aggregate([eventOf(0, 0, 'site/a/b/c', '1'), other], 10_000);
  assert.deepEqual(
    records.map(({ message }) => message.source),
    ['mqtt', 'bridge:pico'],
  );
});

test('as a CloudEvent it has a type of its own, and the figures in either content', async () => {
  const event = await one([20, 22.5].map((value, at) => eventOf(at, at, 'site/a/b/c', `${value}`)));
  const options = { hubId: 'hub', logId: 'log', decode };
  const encoded = (content: 'payload' | 'readings') =>
    JSON.parse(cloudEventEncoder({ ...options, content })(event));
  const { type, id, time, subject, partitionkey, data } = encoded('payload');
  assert.deepEqual(
    { type, id, time, subject, partitionkey },
    {
      type: 'dev.holdfast.aggregate.v1',
      id: 'hub.log.normal.1',
      time: '2026-03-01T12:00:00.000Z',
      subject: 'site/a/b/c',
      partitionkey: 'b',
    },
  );
  assert.deepEqual(data, wire(event));
  assert.deepEqual(encoded('readings').data, [
    {
      ...{ device: 'b', metric: 'c', value: 21.25, min: 20, max: 22.5, count: 2 },
      ...{ time, to: '2026-03-01T12:00:00.001Z', tags: { area: 'a' } },
    },
  ]);
  const bare = await one([0, 1].map((at) => eventOf(at, at, 'other', 'x')));
  const opaque = JSON.parse(cloudEventEncoder({ ...options, content: 'readings' })(bare));
  assert.deepEqual(JSON.parse(Buffer.from(opaque.data_base64, 'base64').toString()), wire(bare));
});

test('sums that no number can hold are no harm', async () => {
  const huge = [1.7e308, 1.6e308, 1.5e308].map((value, at) =>
    eventOf(at, at, 'site/a/b/c', `${value}`.replace('e+308', '0'.repeat(307)).replace('.', '')),
  );
  const [{ min, mean, max, count }] = wire(
    await one([await one(huge), eventOf(3, 3, 'site/a/b/c', '0')]),
  ).readings;
  assert.deepEqual({ min, max, count }, { min: 0, max: 1.7e308, count: 4 });
  assert.ok(close(mean, 1.2e308, 1e308), `${mean}`);
});
