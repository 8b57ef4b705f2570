import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { loadConfig } from '../../config/load.ts';
import { ConfigError, PROBLEMS_SHOWN_MAX } from '../../config/problem.ts';
import { HubError } from '../../hub/core/errors.ts';
import { afterTest } from '../support/after-test.ts';
import { parsed, problemsOf } from './problems-of.ts';

async function tempDir(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-config-'));
  afterTest(t, () => rm(dir, { recursive: true }));
  return dir;
}

/** A part of the file and everything that is said about it. */
const CASES: readonly (readonly [name: string, yaml: string, problems: readonly string[]])[] = [
  ['an unknown section', 'sinkz: []\n', ['1:1  sinkz — unknown key (did you mean `sinks`?)']],
  [
    'an unknown key without a near one lists what there is',
    'hub: {zzz: 1}\n',
    ['1:7  hub.zzz — unknown key (known: id, data_dir)'],
  ],
  [
    'the words of a key in another order',
    'log:\n  capacity:\n    max_bytes: 1 GiB\n',
    ['3:5  log.capacity.max_bytes — unknown key (did you mean `bytes_max`?)'],
  ],
  [
    'a misspelled required key is one problem',
    'sinks:\n  - {id: a, type: file, pth: x}\n',
    ['2:25  sinks[0].pth — unknown key (did you mean `path`?)'],
  ],
  [
    'a missing required key points to the item',
    'sinks:\n  - id: a\n    type: file\n',
    ['2:5  sinks[0].path — is required: text'],
  ],
  [
    'a missing required key of a mapping points to its key',
    'decode:\n  - topic: a/{device}\n    format: json\n    time: {unit: s}\n',
    ['4:5  decode[0].time.field — is required: text, for example `time`'],
  ],
  [
    'a required key without a value points to the key',
    'sinks:\n  - id: a\n    type: file\n    path:\n',
    ['4:5  sinks[0].path — has no value: text'],
  ],
  [
    'a missing type names the types',
    'sinks:\n  - id: a\n',
    ['2:5  sinks[0].type — is required: one of: http, influx, file'],
  ],
  [
    'a misspelled type does not hide the other mistakes of the item',
    'sinks:\n  - id: a b\n    type: htpp\n    url: http://127.0.0.1\n    timeout: 5\n',
    [
      '2:9  sinks[0].id — may hold only letters, digits, `-` and `_`',
      '3:11  sinks[0].type — `htpp` is not one of: http, influx, file (did you mean `http`?)',
      '5:14  sinks[0].timeout — expected a duration with its unit, for example `5 s`',
    ],
  ],
  [
    'a wrong word of several',
    'log:\n  commit:\n    durability: fsycn\n',
    [
      '3:17  log.commit.durability — `fsycn` is not one of: fsync, interval (did you mean ' +
        '`fsync`?)',
    ],
  ],
  [
    'text for a number',
    'http: {port: "80"}\n',
    ['1:14  http.port — expected a number, not text (remove the quotes)'],
  ],
  [
    'a number for text',
    'hub: {id: 5}\n',
    ['1:11  hub.id — expected text, not a number (put it in quotes)'],
  ],
  [
    'a fraction for a whole number',
    'http: {port: 1.5}\n',
    ['1:14  http.port — expected a whole number'],
  ],
  [
    'a word of YAML 1.1 for a truth value',
    'mqtt: {anonymous: yes}\n',
    ['1:19  mqtt.anonymous — expected `true` or `false`, not text (did you mean `true`?)'],
  ],
  ['a list for text', 'hub: {id: []}\n', ['1:11  hub.id — expected text, not a list']],
  ['a number out of range', 'http:\n  port: 65536\n', ['2:9  http.port — must be at most 65535']],
  [
    'a number below the range',
    'mqtt: {limits: {clients_max: 0}}\n',
    ['1:30  mqtt.limits.clients_max — must be at least 1'],
  ],
  [
    'a size without a unit',
    'log: {capacity: {bytes_max: 1024}}\n',
    ['1:29  log.capacity.bytes_max — expected a size with its unit, for example `10 MiB`'],
  ],
  [
    'an unknown unit',
    'log: {retention: {age_max: 7 days}}\n',
    ['1:28  log.retention.age_max — expected a duration such as `5 s` (units: ms, s, min, h, d)'],
  ],
  [
    'a size out of range',
    'log: {capacity: {bytes_max: 1 KiB}}\n',
    ['1:29  log.capacity.bytes_max — must be at least `1 MiB`'],
  ],
  [
    'one value for a list',
    'log: {lanes: {alarm: "#"}}\n',
    ['1:22  log.lanes.alarm — expected a list, not text (put it in `[ ]`)'],
  ],
  [
    'a value for a section',
    'hub: 5\n',
    ['1:6  hub — expected a mapping, not a number (with the keys id, data_dir)'],
  ],
  [
    'a list for the whole',
    '- a\n',
    [
      '1:1  expected a mapping, not a list (with the keys hub, mqtt, bridges, log, decode, ' +
        'sinks, object_storage, http, tracing, clock)',
    ],
  ],
  [
    'text for the whole',
    'hello\n',
    [
      '1:1  expected a mapping, not text (with the keys hub, mqtt, bridges, log, decode, sinks, ' +
        'object_storage, http, tracing, clock)',
    ],
  ],
  [
    'a bad topic filter',
    'log:\n  lanes:\n    bulk:\n      - a\n      - a/#/b\n',
    ['5:9  log.lanes.bulk[1] — is not a topic filter: `#` must be the whole last level'],
  ],
  [
    'a topic template without a device',
    'decode: [{topic: a/{x}, format: json}]\n'.replace('a/{x}', '"a/{x}"'),
    [
      '1:18  decode[0].topic — is not a topic template: captures no `{device}`: every reading ' +
        'belongs to one',
    ],
  ],
  [
    'neither a list nor a mapping',
    'decode: [{topic: "{device}", format: json, fields: 5}]\n',
    ['1:52  decode[0].fields — expected a list or a mapping, not a number'],
  ],
  [
    'a bad item of a list that could be a mapping',
    'decode: [{topic: "{device}", format: json, fields: [a, 5]}]\n',
    ['1:56  decode[0].fields[1] — expected text, not a number (put it in quotes)'],
  ],
  [
    'an option of another format',
    'decode: [{topic: "{device}", format: number, delimiter: ";"}]\n',
    ['1:46  decode[0].delimiter — unknown key (known: topic, format, units)'],
  ],
  [
    'a time column that is none',
    'decode: [{topic: "{device}", format: csv, fields: [a, b], time: {field: c}}]\n',
    ['1:73  decode[0].time.field — is not one of `fields`'],
  ],
  [
    'a key that is there twice',
    'http:\n  port: 1\n  host: localhost\n  port: 2\n',
    ['4:3  http.port — is there twice'],
  ],
  ['a key that is no text', '? [a]\n: 1\n', ['1:3  a key must be text']],
  [
    'a key that programs stumble over',
    'hub: {__proto__: {id: x}}\n',
    ['1:7  hub — `__proto__` is not usable as a key'],
  ],
  [
    'a rule of a sink across keys',
    'sinks:\n  - id: a\n    type: http\n    url: http://x\n    key_file: k\n',
    ['2:5  sinks[0].cert_file — cert_file and key_file belong together'],
  ],
];

describe('problems of a configuration', () => {
  for (const [name, yaml, problems] of CASES)
    it(name, () => assert.deepEqual(problemsOf(yaml), problems));

  it('reports five different mistakes at once, each with its place and a hint', () => {
    const text = [
      'hub:',
      '  id: "gateway 1"', // characters
      'mqtt:',
      '  anonymos: true', // key
      'log:',
      '  commit: { profile: balancd }', // value
      'sinks:',
      '  - id: cloud',
      '    type: http', // url missing
      'http:',
      '  port: "8080"', // type
      '',
    ].join('\n');
    assert.deepEqual(problemsOf(text), [
      '2:7  hub.id — may hold only letters, digits, `-` and `_`',
      '4:3  mqtt.anonymos — unknown key (did you mean `anonymous`?)',
      '6:22  log.commit.profile — `balancd` is not one of: latency, balanced, card (did you mean ' +
        '`balanced`?)',
      '8:5  sinks[0].url — is required: text',
      '11:9  http.port — expected a number, not text (remove the quotes)',
    ]);
  });

  it('is one line a problem, whatever the key is', () => {
    const [problem = ''] = problemsOf(
      `? "a\\u001b[31m\\n${'b'.repeat(5000)}"\n: 1\n`.replace('5000', ''),
    );
    assert.match(problem, /^1:3 {2}a\uFFFD\[31m\uFFFDb+/);
    assert.ok(problem.length < 1100);
  });

  it('lists fifty problems and counts the rest', () => {
    const text = Array.from({ length: 60 }, (_, i) => `key_${i}: 1\n`).join('');
    assert.equal(problemsOf(text).length, PROBLEMS_SHOWN_MAX);
    assert.throws(
      () => parsed(text),
      (error) =>
        error instanceof ConfigError && error.more === 10 && /\nand 10 more$/.test(error.message),
    );
  });
});

describe('a valid configuration', () => {
  it('needs nothing: every key has a default or belongs to a list', () => {
    for (const text of ['', '# nothing\n', 'hub:\nmqtt:\nsinks:\nlog:\n  capacity:\n']) {
      const config = parsed(text);
      assert.equal(config.log.capacity.bytes_max, 2 * 1024 ** 3);
      assert.equal(config.log.capacity.when_full, 'block');
      assert.equal(config.log.commit.durability, 'fsync');
      assert.equal(config.log.retention.age_max, 7 * 86_400_000);
      assert.equal(config.mqtt.limits.packet_bytes_max, 256 * 1024);
      assert.deepEqual(config.sinks, []);
      assert.deepEqual(config.mqtt.listeners, []);
      assert.equal(config.http.host, '127.0.0.1');
      assert.equal(config.hub.id, hostname().replaceAll(/[^A-Za-z0-9_-]/g, '-'));
    }
  });

  it('gives a sink what all have, and the options of its type', () => {
    const [sink] = parsed('sinks: [{id: a, type: http, url: "http://127.0.0.1/x"}]\n').sinks;
    assert.ok(sink);
    assert.deepEqual(sink.topics, ['#']);
    assert.equal(sink.start, 'oldest');
    const batch = { events_max: 5000, bytes_max: 1024 ** 2, linger_ms: 1000, deadline: 300_000 };
    assert.deepEqual(sink.batch, batch);
    assert.deepEqual(sink.retry, { delay_min: 1000, delay_max: 300_000, attempts_max: 20 });
    assert.equal(Reflect.get(sink, 'url'), 'http://127.0.0.1/x');
    assert.equal(Reflect.get(sink, 'timeout'), 30_000);
  });

  it('cannot be changed', () => {
    const config = parsed('sinks: [{id: a, type: file, path: x}]\nhttp: {token: secret}\n');
    assert.throws(() => {
      config.http.port = 1;
    }, TypeError);
    assert.throws(() => config.sinks[0]?.topics.push('x'), TypeError);
    assert.throws(() => config.sinks.pop(), TypeError);
    assert.equal(config.http.token?.reveal(), 'secret');
  });

  it('follows aliases', () => {
    const config = parsed('log:\n  lanes:\n    alarm: &filters ["a/#"]\n    bulk: *filters\n');
    assert.deepEqual(config.log.lanes.bulk, ['a/#']);
  });
});

describe('a configuration file', () => {
  it('is where relative paths start', async (t) => {
    const dir = await tempDir(t);
    const file = join(dir, 'hub.yaml');
    await writeFile(
      file,
      'hub: {data_dir: state}\nsinks:\n  - {id: a, type: http, url: "https://x", ca_file: ' +
        'pki/ca.pem}\n',
    );
    const named = relative(process.cwd(), file);
    const { config, file: shown } = loadConfig({ file: named }, {});
    assert.equal(shown, named);
    assert.equal(config.hub.data_dir, join(dir, 'state'));
    const [sink] = config.sinks;
    assert.ok(sink);
    assert.equal(Reflect.get(sink, 'ca_file'), join(dir, 'pki', 'ca.pem'));
    assert.equal(
      loadConfig({ file: named, baseDir: '/srv' }, {}).config.hub.data_dir,
      '/srv/state',
    );
  });

  it('names itself in every problem', async (t) => {
    const file = join(await tempDir(t), 'hub.yaml');
    await writeFile(file, 'a: 1\n');
    assert.throws(
      () => loadConfig({ file }, {}),
      (error) =>
        error instanceof HubError && error.message.startsWith(`${file}:1:1  a — unknown key`),
    );
  });

  const unreadable = (file: string, why: RegExp) =>
    assert.throws(
      () => loadConfig({ file }, {}),
      (error) =>
        error instanceof ConfigError &&
        error.code === 'CONFIG_UNREADABLE' &&
        error.problems.length === 1 &&
        why.test(error.message),
    );

  it('is refused when it is missing, a folder, endless, too large, or no text', async (t) => {
    const dir = await tempDir(t);
    unreadable(join(dir, 'none.yaml'), /none\.yaml:1:1 {2}cannot be read: ENOENT/);
    unreadable(dir, /cannot be read: EISDIR/);
    unreadable('/dev/zero', /larger than 1 MiB/);
    const large = join(dir, 'large.yaml');
    await writeFile(large, `#${' '.repeat(1024 ** 2)}`);
    unreadable(large, /larger than 1 MiB/);
    await writeFile(large, Buffer.from([0x61, 0x3a, 0x20, 0xff, 0xfe]));
    unreadable(large, /not UTF-8/);
  });

  it('may begin with a byte order mark and end lines as Windows does', async (t) => {
    const file = join(await tempDir(t), 'hub.yaml');
    await writeFile(file, '\uFEFFhub:\r\n  id: a\r\n');
    assert.equal(loadConfig({ file }, {}).config.hub.id, 'a');
    await writeFile(file, 'hub:\r\n  idd: a\r\n');
    assert.throws(() => loadConfig({ file }, {}), /:2:3 {2}hub\.idd/);
  });
});
