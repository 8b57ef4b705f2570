import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Reading } from '../../hub/core/event.ts';
import { lineEncoder } from '../../sinks/influx/line-protocol.ts';
import { influxSinkSpec } from '../../sinks/influx/spec.ts';
import { codeOf, connect, sinkContext, sinkContract } from '../contract/sink.ts';
import { batchOf, decodeForTest, eventOf, START_MS } from '../contract/sink-events.ts';
import { type Behaviour, type SeenRequest, startTestServer } from '../contract/sink-http-server.ts';
import { afterTest } from '../support/after-test.ts';

const never = (): AbortSignal => new AbortController().signal;

async function createSink(url: string, more: Record<string, unknown> = {}, decode = decodeForTest) {
  const options = influxSinkSpec.options.parse({ url, ...more });
  return await influxSinkSpec.create(options, sinkContext('/nonexistent', { decode }));
}

const isWrite = ({ url }: SeenRequest): boolean => /^(\/base)?(\/api\/v2)?\/write\?/.test(url);
const linesOf = (request: SeenRequest): string[] => request.body.split('\n').slice(0, -1);
const valuesOf = (request: SeenRequest): number[] =>
  linesOf(request).map((line) => Number(/temp=(\S+) /.exec(line)?.[1]));

/** InfluxDB's answers: healthy, and 204 for what is written. */
const ok: Behaviour = (request) =>
  isWrite(request) ? { status: 204 } : { status: 200, body: '{"status":"pass"}' };

sinkContract({
  name: 'influx',
  async start(t) {
    const far = await startTestServer(t, ok);
    const become = (behaviour: Behaviour) => async () => {
      far.behaviour = behaviour;
    };
    return {
      create: () => createSink(far.url),
      seen: async () => far.taken.filter(isWrite).flatMap(valuesOf),
      heal: become(ok),
      cut: become(() => 'cut'),
      stall: become(() => 'stall'),
      refuse: become(() => ({ status: 401, body: 'unauthorized' })),
      throttle: (waitMs) =>
        become(() => ({ status: 503, headers: { 'retry-after': `${waitMs / 1000}` } }))(),
      reject: (offset) =>
        become((request) => {
          const poison = isWrite(request) && valuesOf(request).includes(offset);
          const body = '{"error":"partial write: field type conflict dropped=1"}';
          return poison ? { status: 400, body } : ok(request);
        })(),
    };
  },
});

interface Point {
  readonly measurement: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<string, number | string | boolean>>;
  readonly time: number;
}

/** Reads up to one of `ends` that is not escaped, and takes escapes of `escapable` off. */
function readPart(line: string, from: number, ends: string, escapable: string) {
  let text = '';
  let at = from;
  for (; at < line.length && !ends.includes(line[at] ?? ''); at++) {
    if (line[at] === '\\' && escapable.includes(line[at + 1] ?? '-')) at++;
    text += line[at];
  }
  return { text, at };
}

function readValue(line: string, from: number) {
  if (line[from] === '"') {
    const { text, at } = readPart(line, from + 1, '"', '"\\');
    return { value: text, at: at + 1 };
  }
  const { text, at } = readPart(line, from, ', ', '');
  if (text === 't' || text === 'f') return { value: text === 't', at };
  assert.match(text, /^-?\d+(\.\d+)?(e[+-]\d+)?$/);
  return { value: Number(text), at };
}

/** Line protocol by its published grammar; written without a look at the encoder. */
function parseLine(line: string): Point {
  assert.ok(!line.startsWith('#'), 'not a comment');
  const measurement = readPart(line, 0, ', ', ', \\');
  let { at } = measurement;
  const tags: Record<string, string> = {};
  while (line[at] === ',') {
    const key = readPart(line, at + 1, '=', ',= \\');
    const value = readPart(line, key.at + 1, ', ', ',= \\');
    assert.ok(key.text !== '' && value.text !== '', line);
    assert.ok(!Object.hasOwn(tags, key.text), `tag ${key.text} once`);
    tags[key.text] = value.text;
    at = value.at;
  }
  const fields: Record<string, number | string | boolean> = {};
  do {
    const key = readPart(line, at + 1, '=', ',= \\');
    assert.ok(key.text !== '' && !Object.hasOwn(fields, key.text), line);
    const { value, at: end } = readValue(line, key.at + 1);
    Object.defineProperty(fields, key.text, { value, enumerable: true });
    at = end;
  } while (line[at] === ',');
  assert.match(line.slice(at), /^ -?\d+$/);
  return { measurement: measurement.text, tags, fields, time: Number(line.slice(at + 1)) };
}

/** What is left of a text that line protocol can carry. */
const carried = (text: string): string =>
  Buffer.from(text).toString() === text && !/[\p{Cc}\\]/u.test(text)
    ? text
    : text.replaceAll(/[\p{Cc}\p{Surrogate}\\]/gu, '_');

const odd = [' ', ',', '=', '"', '\\', '\n', '\r', '\t', '#', '\u0000', '\ud800', 'ö', '😀', 'a'];
const anyName = fc.oneof(
  fc.array(fc.constantFrom(...odd), { maxLength: 6 }).map((parts) => parts.join('')),
  fc.string({ unit: 'binary' }),
);
const anyReading: fc.Arbitrary<Reading> = fc.record({
  device: anyName,
  metric: anyName,
  value: fc.oneof(fc.double(), fc.integer(), fc.boolean(), anyName),
  timeMs: fc.nat(2_000_000_000_000),
  timeQuality: fc.constant('synced'),
  tags: fc.dictionary(
    anyName.filter((key) => !['', 'device', 'hub', 'time', '__proto__'].includes(carried(key))),
    anyName,
    { maxKeys: 3 },
  ),
});

test('influx: any name and value is read back as it was, or as near as the protocol allows', () => {
  fc.assert(
    fc.property(anyReading, anyName, (reading, hubId) => {
      const encode = lineEncoder({ hubId, measurement: '{metric}', strings: true });
      const text = encode([reading]);
      if (typeof reading.value === 'number' && !Number.isFinite(reading.value)) {
        assert.equal(text, '');
        return;
      }
      const keys = Object.keys(reading.tags).map(carried);
      fc.pre(new Set(keys).size === keys.length);
      assert.ok(text.endsWith('\n') && text.indexOf('\n') === text.length - 1, 'one line');
      const point = parseLine(text.slice(0, -1));
      assert.equal(point.measurement, carried(reading.metric).replace(/^(#|$)/, '_'));
      const tags: Record<string, string> = { hub: carried(hubId), device: carried(reading.device) };
      for (const [key, value] of Object.entries(reading.tags)) tags[carried(key)] = carried(value);
      const present = Object.entries(tags).filter(([, value]) => value !== '');
      assert.deepEqual(point.tags, Object.fromEntries(present));
      const { value } = reading;
      const expected =
        typeof value === 'string' ? value.replaceAll(/[\p{Cc}\p{Surrogate}]/gu, ' ') : value;
      assert.equal(point.fields['value'], expected === 0 ? 0 : expected);
      assert.equal(point.time, reading.timeMs);
    }),
    { numRuns: 2_000 },
  );
});

const base: Omit<Reading, 'metric' | 'value'> = {
  device: 'dev1',
  timeMs: 1_700_000_000_000,
  timeQuality: 'synced',
  tags: { area: 'house' },
};

test('influx: readings of one device and time share a line', () => {
  const encode = lineEncoder({ hubId: 'gw', measurement: 'telemetry', strings: false });
  const text = encode([
    { ...base, metric: 'temp', value: 21.5 },
    { ...base, metric: 'door', value: true },
    { ...base, metric: 'name', value: 'kitchen' },
    { ...base, metric: 'time', value: 5 },
    { ...base, metric: '', value: -0 },
    { ...base, metric: 'temp', value: 1e21 },
    { ...base, metric: 'hum', value: 40, timeMs: base.timeMs + 0.9 },
    { ...base, metric: 'hum', value: 41, timeMs: base.timeMs + 1 },
    { ...base, metric: 'hum', value: Number.NaN },
  ]);
  const series = 'telemetry,device=dev1,area=house,hub=gw';
  const expected = [
    `${series} temp=21.5,door=t,time_=5,value=0 1700000000000`,
    `${series} temp=1e+21,hum=40 1700000000000`,
    `${series} hum=41 1700000000001`,
  ];
  assert.deepEqual(text.trimEnd().split('\n'), expected);
});

test('influx: a measurement of one’s own', () => {
  const encode = lineEncoder({ hubId: 'gw', measurement: 'iot {metric}', strings: false });
  const text = encode([
    { ...base, metric: 'temp$&', value: 1, tags: { device: 'x', hub: 'y', time: 'z', empty: '' } },
  ]);
  assert.equal(text, 'iot\\ temp$&,device=dev1,hub=gw value=1 1700000000000\n');
});

test('influx: the requests that v1 and v2 get', async (t) => {
  const far = await startTestServer(t, ok);
  const cases: readonly [Record<string, unknown>, string, string | undefined][] = [
    [{}, '/base/write?precision=ms', undefined],
    [{ database: 'a b', token: 'k' }, '/base/write?db=a+b&precision=ms', 'Token k'],
    [
      { api: 'v2', org: 'me', bucket: 'b', username: 'u', password: 'pö' },
      '/base/api/v2/write?org=me&bucket=b&precision=ms',
      `Basic ${Buffer.from('u:pö').toString('base64')}`,
    ],
  ];
  for (const [options, url, authorization] of cases) {
    const sink = await createSink(`${far.url}/base`, options);
    await connect(sink);
    await sink.send(await sink.encode(batchOf(1, 2)), never());
    await sink.close(never());
    const request = far.taken.at(-1);
    assert.equal(request?.method, 'POST');
    assert.equal(request?.url, url);
    assert.equal(request?.headers['authorization'], authorization);
    assert.equal(request?.headers['content-encoding'], 'gzip');
    const time = START_MS + 1;
    assert.equal(
      request?.body.split('\n')[0],
      `telemetry,device=dev1,area=house,hub=gateway-01 temp=1 ${time}`,
    );
  }
});

test('influx: events without readings are not sent, and delivered', async (t) => {
  const far = await startTestServer(t, ok);
  const sink = await createSink(far.url);
  afterTest(t, () => sink.close(never()));
  await connect(sink);
  const payloads = ['{"a":1}', '"text"', '\u0000'];
  const events = payloads.map((payload, offset) => eventOf({ offset, payload }));
  const delivery = await sink.send(await sink.encode({ lane: 'normal', events }), never());
  assert.deepEqual(delivery, { rejected: [], retry: [] });
  assert.equal(far.requests.filter(isWrite).length, 0);
});

test('influx: times that the far side would drop in silence are rejected by name', async (t) => {
  const far = await startTestServer(t, ok);
  const sink = await createSink(far.url);
  afterTest(t, () => sink.close(never()));
  await connect(sink);
  const dayMs = 86_400_000;
  const times = [5_000, START_MS, Date.now() + dayMs, Date.now() + 3 * dayMs, Number.NaN, 1e300];
  const events = times.map((receivedMs, offset) => eventOf({ offset, receivedMs }));
  const { rejected } = await sink.send(await sink.encode({ lane: 'normal', events }), never());
  assert.deepEqual(
    rejected.map(({ index }) => index),
    [0, 3, 4, 5],
  );
  assert.match(rejected[0]?.reason ?? '', /^time 1970-01-01T00:00:05.000Z is before 1971/);
  assert.deepEqual(far.taken.filter(isWrite).flatMap(valuesOf), [1, 2]);
});

test('influx: a missing database or bucket halts the sink; a bad point does not', async (t) => {
  let body = '';
  const far = await startTestServer(t, (request) =>
    isWrite(request) ? { status: 400, body } : ok(request),
  );
  const sink = await createSink(far.url);
  afterTest(t, () => sink.close(never()));
  const cases: readonly [string, string][] = [
    ['{"error":"database is required"}', 'SINK_REFUSED'],
    ['{"code":"not found","message":"bucket \\"b\\" not found"}', 'SINK_REFUSED'],
    ['{"code":"invalid","message":"organization name \\"x\\" not found"}', 'SINK_REFUSED'],
    ['{"error":"partial write: field type conflict: input field \\"v\\""}', 'SINK_REJECTED'],
    ['{"error":"unable to parse \'org bucket=1\': missing tag value"}', 'SINK_REJECTED'],
  ];
  for (const [text, code] of cases) {
    body = text;
    await connect(sink);
    const error = await codeOf(sink.send(await sink.encode(batchOf(1, 1)), never()));
    assert.equal(error.code, code, text);
  }
});

/** A far side like VictoriaMetrics: it says when it started. */
function victoria(startTime: () => number | undefined): Behaviour {
  return (request) => {
    if (isWrite(request)) return { status: 204 };
    if (request.url !== '/metrics') return { status: 200, body: 'OK' };
    const padding = '# some other metric\nother 1\n'.repeat(5_000); // over 64 KiB come before it
    const line = startTime() === undefined ? '' : `vm_app_start_timestamp ${startTime()}\n`;
    return { status: 200, body: `${padding}${line}` };
  };
}

test('influx: with a confirm window, connecting names the instance', async (t) => {
  let startTime: number | undefined = 1_700_000_000;
  const far = await startTestServer(
    t,
    victoria(() => startTime),
  );
  const sink = await createSink(far.url, { confirm_window: '60 s' });
  afterTest(t, () => sink.close(never()));
  assert.deepEqual(await sink.connect(never()), { instance: '1700000000' });
  startTime = 1_700_000_009;
  assert.deepEqual(await sink.connect(never()), { instance: '1700000009' });
  startTime = undefined;
  const error = await codeOf(sink.connect(never()));
  assert.equal(error.code, 'SINK_REFUSED');
  assert.match(error.message, /confirm_window cannot notice a restart/);
  const plain = await createSink(far.url);
  afterTest(t, () => plain.close(never()));
  assert.deepEqual(await plain.connect(never()), {});
});

test('influx: a restart behind an idle connection is noticed with the next batch', async (t) => {
  let startTime = 1;
  const far = await startTestServer(
    t,
    victoria(() => startTime),
  );
  const sink = await createSink(far.url, { confirm_window: '60 s' });
  afterTest(t, () => sink.close(never()));
  await connect(sink);
  const send = async (n: number) => sink.send(await sink.encode(batchOf(n, 1)), never());
  await send(1);
  far.server.closeAllConnections(); // only the connection broke
  await new Promise((resolve) => setImmediate(resolve));
  await send(2).catch(async () => {
    await connect(sink); // the broken connection was still being used
    await send(2);
  });
  far.server.closeAllConnections();
  startTime = 2;
  const error = await codeOf(send(3));
  assert.equal(error.code, 'SINK_DISCONNECTED');
  assert.deepEqual(await sink.connect(never()), { instance: '2' });
  await send(3);
});

test('influx: a far side that knows only the path for writing is written to', async (t) => {
  const far = await startTestServer(t, (request) => ({ status: isWrite(request) ? 204 : 404 }));
  const sink = await createSink(far.url);
  afterTest(t, () => sink.close(never()));
  await sink.connect(never());
  await sink.send(await sink.encode(batchOf(1, 1)), never());
  assert.equal(far.taken.length, 1);
});

test('influx: options that cannot work are refused, and what the forwarder asks', () => {
  const problems = (options: Record<string, unknown>) =>
    String(
      influxSinkSpec.options
        .safeParse({ url: 'http://far/', ...options })
        .error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`),
    );
  assert.equal(problems({}), 'undefined');
  assert.match(problems({ url: 'http://far/write?db=x' }), /^url: .*query/);
  assert.match(problems({ username: 'u' }), /^password: .*together/);
  assert.match(problems({ username: 'u', password: 'p', token: 't' }), /^username: contradicts/);
  assert.match(problems({ api: 'v2', database: 'd' }), /^database: .*bucket/);
  assert.match(problems({ bucket: 'd' }), /^bucket: belongs to/);
  assert.match(problems({ token: 'a\nb' }), /^token: .*line break/);
  const options = influxSinkSpec.options.parse({ url: 'http://far:8428', confirm_window: '60 s' });
  assert.equal(influxSinkSpec.confirmWindowMs(options), 60_000);
  assert.equal(influxSinkSpec.host(options), 'far:8428');
});

test('influx: an aggregate is its mean, with minimum, maximum and count beside it', () => {
  const encode = lineEncoder({ hubId: 'gw', measurement: 'telemetry', strings: true });
  const span = { fromMs: base.timeMs, toMs: base.timeMs + 9_000 };
  const text = encode([
    { ...base, metric: 'temp', value: 21.5, aggregate: { ...span, min: -1, max: 30, count: 10 } },
    { ...base, metric: 'door', value: true, aggregate: { ...span, count: 4 } },
    { ...base, metric: 'mode', value: 'eco', aggregate: { ...span, count: 2 } },
    { ...base, metric: 'temp_min', value: 7 }, // a metric of that name has a line of its own
  ]);
  const [first, second] = text.split('\n').slice(0, -1).map(parseLine);
  assert.deepEqual(first?.fields, {
    ...{ temp: 21.5, temp_min: -1, temp_max: 30, temp_count: 10 },
    ...{ door: true, door_count: 4, mode: 'eco', mode_count: 2 },
  });
  assert.equal(first?.time, base.timeMs);
  assert.deepEqual(second?.fields, { temp_min: 7 });
  const alone = lineEncoder({ hubId: 'gw', measurement: '{metric}', strings: true });
  const [line] = alone([
    { ...base, metric: 'temp', value: 2, aggregate: { ...span, min: 1, max: 3, count: 2 } },
  ]).split('\n');
  assert.deepEqual(parseLine(line ?? '').fields, {
    ...{ value: 2, value_min: 1, value_max: 3, value_count: 2 },
  });
});
