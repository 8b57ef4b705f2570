import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HubError } from '../../hub/core/errors.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import type { DecodeRule } from '../../hub/process/decode/rule.ts';
import { ARRIVAL_MS, decodeOne, eventOf, readingTexts } from '../support/decode-fixture.ts';

const JSON_METRIC: DecodeRule = { topic: 'site/{area}/{device}/{metric}', format: 'json' };
const JSON_DEVICE: DecodeRule = { topic: 'site/{area}/{device}', format: 'json' };
const NUMBER: DecodeRule = { topic: 'n/{device}/{metric}', format: 'number' };
const CSV: DecodeRule = {
  topic: 'c/{device}',
  format: 'csv',
  fields: ['time', 'temp', '_', 'hum'],
};
const TOPIC = 'site/a/dev1/temp';

test('topic templates: capture device, metric and tags', () => {
  const { device, readings } = decodeOne(JSON_METRIC, TOPIC, '21.5');
  assert.equal(device, 'dev1');
  assert.equal(readings[0]?.device, 'dev1');
  assert.equal(readings[0]?.metric, 'temp');
  assert.deepEqual({ ...readings[0]?.tags }, { area: 'a' });
});

test('topic templates: know + and a final #, and the first rule that matches wins', () => {
  const decode = createDecoder([
    { topic: 'a/+/{device}/#', format: 'number' },
    { topic: 'a/{device}/c', format: 'json' },
    { topic: '{x}/{device}/c', format: 'number' },
  ]);
  assert.equal(decode(eventOf('a/b/c', '1')).device, 'c'); // the `#` also stands for no level
  assert.equal(decode(eventOf('a/b/c/d/e', '1')).device, 'c');
  assert.equal(decode(eventOf('z/dev/c', '1')).device, 'dev');
  assert.equal(decode.templateOf('a/b/c'), 'a/+/{device}/#');
  assert.equal(decode.templateOf('$SYS/dev/c'), undefined);
  assert.equal(decode(eventOf('$SYS/dev/c', '1')).readings.length, 0);
});

test('topic templates: without a match there are no readings and no error, but the JSON', () => {
  const decode = createDecoder([JSON_METRIC]);
  const decoded = decode(eventOf('other/place/x', '{"a":1}'));
  assert.deepEqual(decoded, {
    device: 'other/place',
    timeMs: ARRIVAL_MS,
    timeQuality: 'synced',
    json: '{"a":1}',
    readings: [],
  });
  assert.equal(decode(eventOf('alone', 'no json')).device, 'alone');
  assert.equal(decode(eventOf('alone', 'no json')).json, undefined);
  assert.equal(decode(eventOf('/x', '1')).device, '/x');
});

test('topic templates: leave other kinds than messages alone', () => {
  const decoded = createDecoder([JSON_METRIC])(eventOf(TOPIC, '{"v":1}', 'loss'));
  assert.equal(decoded.json, '{"v":1}');
  assert.deepEqual(decoded.readings, []);
  assert.equal(decoded.error, undefined);
});

test('topic templates: that are none are refused with the reason', () => {
  const refused = (rule: Partial<DecodeRule>) => {
    try {
      createDecoder([{ topic: 'a/{device}', format: 'csv', ...rule }]);
      return 'accepted';
    } catch (error) {
      assert.ok(error instanceof HubError && error.code === 'CONFIG_INVALID');
      return error.message;
    }
  };
  assert.match(refused({ topic: 'a/{metric}' }), /has no \{device\}/);
  assert.match(refused({ topic: 'a/{device}/{device}' }), /captures \{device\} twice/);
  assert.match(refused({ topic: 'a/x-{device}' }), /whole level/);
  assert.match(refused({ topic: 'a/#/{device}' }), /`#`/);
  assert.match(refused({ delimiter: '::' }), /delimiter/);
  assert.match(refused({ fields: { t: 'x' } }), /column `x`/);
  assert.match(refused({ fields: ['a'], time: { field: 'b', unit: 's' } }), /not in its fields/);
  assert.equal(refused({ fields: { t: '2' } }), 'accepted');
});

test('topic templates: say which topics can hold a metric', () => {
  const decode = createDecoder([JSON_METRIC, JSON_DEVICE]);
  assert.ok(decode.mayYield(TOPIC, 'dev1', 'temp'));
  assert.ok(decode.mayYield(TOPIC, 'dev1', 'temp_max'));
  assert.ok(!decode.mayYield(TOPIC, 'dev1', 'hum'));
  assert.ok(!decode.mayYield(TOPIC, 'dev2', 'temp'));
  assert.ok(decode.mayYield('site/a/dev1', 'dev1', 'hum'));
  assert.ok(!decode.mayYield('elsewhere', 'elsewhere', 'value'));
});

const jsonTable: readonly [string, DecodeRule, string, string, readonly string[]][] = [
  ['bare number', JSON_METRIC, TOPIC, '21.5', ['temp=21.5']],
  ['bare boolean without a metric', JSON_DEVICE, 'site/a/d', 'true', ['value=true']],
  ['bare text', JSON_METRIC, TOPIC, '"open"', ['temp="open"']],
  ['v, t and u', JSON_METRIC, TOPIC, '{"t":1772366400,"v":21.5,"u":"°C"}', ['temp=21.5 °C']],
  ['value and unit', JSON_DEVICE, 'site/a/d', '{"value":1,"unit":"m"}', ['value=1 m']],
  ['v among others, metric in the topic', JSON_METRIC, TOPIC, '{"v":1,"i":2}', ['temp=1']],
  ['volts among others', JSON_DEVICE, 'site/a/d', '{"v":230,"i":2}', ['v=230', 'i=2']],
  [
    'leaves',
    JSON_DEVICE,
    'site/a/d',
    '{"a":1,"b":false,"c":"x","d":[1],"e":null}',
    ['a=1', 'b=false', 'c="x"'],
  ],
  ['leaves with a metric', JSON_METRIC, TOPIC, '{"min":1,"max":2}', ['temp_min=1', 'temp_max=2']],
  ['nested one level', JSON_DEVICE, 'site/a/d', '{"a":{"b":1,"c":{"d":2}}}', ['a_b=1']],
  ['t that is a temperature', JSON_DEVICE, 'site/a/d', '{"t":21,"h":40}', ['t=21', 'h=40']],
  ['t that is a time', JSON_DEVICE, 'site/a/d', '{"t":1772366400,"h":40}', ['h=40']],
  ['ts that cannot be believed', JSON_DEVICE, 'site/a/d', '{"ts":12,"h":40}', ['h=40']],
  ['listed fields', { ...JSON_DEVICE, fields: ['a', 'x'] }, 'site/a/d', '{"a":1,"b":2}', ['a=1']],
  [
    'listed fields with a metric',
    { ...JSON_METRIC, fields: ['min'] },
    TOPIC,
    '{"min":1,"max":2}',
    ['temp_min=1'],
  ],
  [
    'fields by path',
    { ...JSON_METRIC, fields: { deep: 'a.b.c', second: 'list.1', dotted: 'x.y' } },
    TOPIC,
    '{"a":{"b":{"c":3}},"list":[1,2],"x.y":4}',
    ['deep=3', 'second=2', 'dotted=4'],
  ],
  ['units of the rule', { ...JSON_DEVICE, units: { a: 'V' } }, 'site/a/d', '{"a":1}', ['a=1 V']],
  [
    'the own unit goes first',
    { ...JSON_METRIC, units: { temp: 'K' } },
    TOPIC,
    '{"v":1,"u":"F"}',
    ['temp=1 F'],
  ],
  ['the last of doubled keys', JSON_DEVICE, 'site/a/d', '{"a":1,"a":2}', ['a=2']],
];
for (const [name, rule, topic, payload, expected] of jsonTable)
  test(`json: ${name}`, () => assert.deepEqual(readingTexts(rule, topic, payload), expected));

test('json: says why there are no readings', () => {
  const error = (payload: string | Buffer) => decodeOne(JSON_METRIC, TOPIC, payload).error ?? '';
  assert.equal(error(''), 'is empty');
  assert.match(error('{"a":'), /^is not valid JSON: /);
  assert.match(error('{"v":null}'), /`v`/);
  assert.match(error('1e400'), /finite/);
  assert.match(error('[1,2]'), /is JSON, but/);
  assert.match(error('{"a":[1]}'), /no number, boolean or short text/);
  assert.match(error(Buffer.from([0x22, 0xff, 0x22])), /UTF-8/);
  const fields = decodeOne({ ...JSON_METRIC, fields: ['a', 'b'] }, TOPIC, '{"c":1}').error;
  assert.equal(fields, 'has none of the fields a, b');
  assert.equal(error('{"v":1}'), '');
});

test('json: keeps valid JSON as it was, and nothing else', () => {
  const json = (payload: string | Buffer, rule = JSON_METRIC, topic = TOPIC) =>
    decodeOne(rule, topic, payload).json;
  assert.equal(json(' {"a": [1]}\n'), ' {"a": [1]}\n');
  assert.equal(json('{'), undefined);
  assert.equal(json(Buffer.from([0x22, 0xff, 0x22])), undefined);
  assert.equal(json('"\ufffd"'), '"\ufffd"'); // the mark itself is valid
  for (const text of ['21.5', '-0', '1e5', ' 7 ', 'true', 'null', '{"a":1}', '"x"'])
    assert.equal(json(text, NUMBER, 'n/d/m'), text);
  for (const text of ['+1', '.5', '5.', '007', '0x10', 'NaN', 'truely', '1 2', '{"a"}', '\u00a07'])
    assert.equal(json(text, NUMBER, 'n/d/m'), undefined, text);
});

test('json: stops at 64 readings and says so', () => {
  const many = JSON.stringify(
    Object.fromEntries(Array.from({ length: 99 }, (_, i) => [`k${i}`, i])),
  );
  const { readings, error } = decodeOne(JSON_DEVICE, 'site/a/d', many);
  assert.equal(readings.length, 64);
  assert.match(error ?? '', /more than 64/);
});

const device = ARRIVAL_MS - 5_000;
const timeTable: readonly [string, string, number | undefined][] = [
  ['seconds', String(device / 1000), device],
  ['fractions of seconds', '1772366395.123', device + 123],
  ['milliseconds', String(device), device],
  ['microseconds', `${device}123`, device],
  ['nanoseconds', `${device}123456`, device],
  ['ISO 8601', '"2026-03-01T11:59:55Z"', device],
  ['ISO 8601 with a zone', '"2026-03-01T13:59:55.250+02:00"', device + 250],
  ['ISO 8601 without a zone is UTC', '"2026-03-01 11:59:55"', device],
  ['a number as text', '"1772366395"', device],
  ['before 2015', '1400000000', undefined],
  ['a day and more ahead', String(ARRIVAL_MS + 86_400_001), undefined],
  ['nearly a day ahead', String(ARRIVAL_MS + 86_400_000), ARRIVAL_MS + 86_400_000],
  ['no time', '"yesterday"', undefined],
  ['an impossible day', '"2026-02-30T00:00:00Z"', undefined],
  ['1e400', '1e400', undefined],
  ['an object', '{}', undefined],
];
for (const [name, text, expected] of timeTable)
  test(`the time of a reading: ${name}`, () => {
    const { timeMs, timeQuality, readings } = decodeOne(JSON_METRIC, TOPIC, `{"v":1,"t":${text}}`);
    assert.equal(timeMs, expected ?? ARRIVAL_MS);
    assert.equal(timeQuality, expected === undefined ? 'synced' : 'device');
    assert.equal(readings[0]?.timeMs, timeMs);
  });

test('the time of a reading: is the arrival, estimated, when the clock is not synchronised', () => {
  const decode = createDecoder([JSON_METRIC]);
  const estimated = (payload: string) => decode(eventOf(TOPIC, payload, 'message', 'estimated'));
  assert.equal(estimated('1').timeQuality, 'estimated');
  assert.equal(estimated(`{"v":1,"t":${device}}`).timeQuality, 'device');
  // our own clock is in the past: the device knows better, but it is not from 2038
  const late = ARRIVAL_MS + 300 * 86_400_000;
  assert.equal(estimated(`{"v":1,"t":${late}}`).timeMs, late);
  assert.equal(decode(eventOf(TOPIC, `{"v":1,"t":${late}}`)).timeMs, ARRIVAL_MS);
  assert.equal(estimated(`{"v":1,"t":${2 ** 31}}`).timeMs, ARRIVAL_MS);
});

test('the time of a reading: is where the rule says, in its unit', () => {
  const rule: DecodeRule = { ...JSON_DEVICE, time: { field: 'm.at', unit: 's' } };
  const decoded = decodeOne(rule, 'site/a/d', `{"m":{"at":${device / 1000}},"ts":5,"a":1}`);
  assert.equal(decoded.timeMs, device);
  assert.deepEqual(
    decoded.readings.map((reading) => reading.metric),
    ['ts', 'a'],
  );
});

test('number: takes decimal numbers only', () => {
  for (const [text, value] of [
    ['21.5', 21.5],
    [' -3\n', -3],
    ['+.5e1', 5],
    ['5.', 5],
  ] as const)
    assert.equal(decodeOne(NUMBER, 'n/d/temp', text).readings[0]?.value, value);
  for (const text of [
    '',
    '0x10',
    'NaN',
    'Infinity',
    '1e400',
    '1,5',
    '21.5 C',
    '.',
    '-',
    '1e',
    '1_0',
  ])
    assert.notEqual(decodeOne(NUMBER, 'n/d/temp', text).error, undefined, text);
});

const texts = (payload: string, rule: DecodeRule = CSV) => readingTexts(rule, 'c/d', payload);

test('csv: reads lines of named columns', () => {
  assert.deepEqual(texts('1772366395,21.5,x,40\r\n1772366396,22,x,41\n'), [
    'temp=21.5',
    'hum=40',
    'temp=22',
    'hum=41',
  ]);
  const { readings, timeMs } = decodeOne(CSV, 'c/d', '1772366395,1,,2\n1772366396,3,,4');
  assert.deepEqual(
    readings.map((reading) => reading.timeMs),
    [1772366395000, 1772366395000, 1772366396000, 1772366396000],
  );
  assert.equal(timeMs, 1772366396000);
});

test('csv: knows quotes, words, and columns without a value', () => {
  const rule: DecodeRule = { topic: 'c/{device}', format: 'csv', fields: ['a', 'b', 'c'] };
  assert.deepEqual(texts('"x, ""y""",true,', rule), ['a="x, \\"y\\""', 'b=true']);
  assert.deepEqual(texts('nan, "1.5" ,two\nlines', rule).slice(0, 2), ['b=1.5', 'c="two"']);
  assert.match(decodeOne(rule, 'c/d', '"open,1,2').error ?? '', /^line 1 has a quote/);
  assert.match(decodeOne(rule, 'c/d', '"a"b,1,2').error ?? '', /behind a closing quote/);
});

test('csv: names a torn line and keeps the others', () => {
  const { readings, error } = decodeOne(CSV, 'c/d', '1,2,3,4\n1,2\n1,5,3,6');
  assert.deepEqual(
    readings.map((reading) => reading.value),
    [2, 4, 5, 6],
  );
  assert.equal(error, 'line 2 has 2 columns, not 4');
});

test('csv: takes columns by number, another delimiter, and none', () => {
  const numbered: DecodeRule = {
    topic: 'c/{device}',
    format: 'csv',
    fields: { hum: '3' },
    time: { field: '1', unit: 'iso' },
    delimiter: ';',
  };
  assert.deepEqual(texts('2026-03-01T11:00:00Z;1;40;9', numbered), ['hum=40']);
  assert.equal(decodeOne(numbered, 'c/d', '2026-03-01T11:00:00Z;1;40').timeQuality, 'device');
  const bare: DecodeRule = { topic: 'c/{device}', format: 'csv', delimiter: '\t' };
  assert.deepEqual(texts('1\t2', bare), ['value_1=1', 'value_2=2']);
  assert.deepEqual(texts('7', bare), ['value=7']);
});

test('an age is counted back from the arrival, and is as well known as that; a time of its own wins', () => {
  const rule: DecodeRule = { topic: 'site/{device}/{metric}', format: 'json' };
  const timeOf = (payload: object) => {
    const { timeMs, timeQuality } = decodeOne(rule, 'site/d/m', JSON.stringify(payload));
    return [timeMs, timeQuality];
  };
  assert.deepEqual(timeOf({ v: 1, age_ms: 5_000 }), [ARRIVAL_MS - 5_000, 'synced']);
  assert.deepEqual(timeOf({ v: 1, age_ms: -1 }), [ARRIVAL_MS, 'synced']);
  const t = ARRIVAL_MS - 60_000;
  assert.deepEqual(timeOf({ v: 1, t, age_ms: 5_000 }), [t, 'device']);
});
