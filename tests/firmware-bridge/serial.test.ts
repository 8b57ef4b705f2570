import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { encode as messagepack } from '@msgpack/msgpack';
import { encode as cbor } from 'cborg';
import { packageRoot } from '../../config/find-file.ts';
import { loadConfig } from '../../config/load.ts';
import { type Found, findPort, type PortChoice } from '../../firmware-bridge/port/find-port.ts';
import { endAtHangUp } from '../../firmware-bridge/port/hang-up.ts';
import { FrameHealth } from '../../firmware-bridge/serial/frame-health.ts';
import { createFramer } from '../../firmware-bridge/serial/framing/create.ts';
import { closePort, openPort } from '../../firmware-bridge/serial/port.ts';
import type { SerialSession, SessionOutput } from '../../firmware-bridge/serial/session.ts';
import { sessionFactory } from '../../firmware-bridge/serial/sessions.ts';
import { serialSpec } from '../../firmware-bridge/serial/spec.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { afterTest } from '../support/after-test.ts';

const optionsOf = (given: object) => serialSpec.options.parse({ port: '/dev/x', ...given });

const at = (monotonicMs: number) => ({ wallMs: 1e12 + monotonicMs, monotonicMs, synced: true });

async function sessionOf(given: object): Promise<SerialSession> {
  const session = (await sessionFactory(optionsOf(given))).open('pico', new Map());
  session.opened(at(0));
  return session;
}

/** What is published for these frames, as `topic payload`, and why others are bad. */
async function read(given: object, ...frames: (string | Uint8Array)[]) {
  const session = await sessionOf(given);
  const options = optionsOf(given);
  const framer = createFramer({
    ...options,
    checksum: options.checksum ?? (options.format === 'nmea' ? 'nmea' : 'none'),
  });
  const bytes = Buffer.concat(frames.map((frame) => framer.encode(Buffer.from(frame))));
  return publishedOf(session.receive(bytes, at(5_000), false));
}

function publishedOf({ messages = [], bad = [] }: SessionOutput) {
  return [...messages.map(({ topic, payload }) => `${topic} ${payload}`), ...bad];
}

test('what a board prints is a reading, without a rule under `decode`', () => {
  const readings = (given: object, topic: string, payload: string) =>
    createDecoder(serialSpec.decode(optionsOf(given)))({
      ...{ lane: 'normal', offset: 0, kind: 'message', source: 'bridge:pico', bootId: 'b' },
      ...{ receivedMs: 1e12, timeQuality: 'synced', monotonicMs: 1 },
      ...{ topic, payload: Buffer.from(payload) },
    }).readings.map(({ device, metric, value }) => `${device} ${metric} ${value}`);
  assert.deepEqual(readings({}, 'serial/pico', '{"t":21.5}'), ['pico t 21.5']);
  const link = { framing: 'cobs', format: 'link', topic: 'site/field/{device}/{metric}' };
  assert.deepEqual(readings(link, 'site/field/uno/temp', '{"v":21.5,"age_ms":3}'), [
    'uno temp 21.5',
  ]);
  assert.deepEqual(serialSpec.decode(optionsOf({ format: 'raw' })), []);
  assert.deepEqual(serialSpec.decode(optionsOf({ format: 'csv' })), []);
});

test('formats: every one becomes topics and JSON payloads', async () => {
  const pico = (text: string) => [`serial/pico ${text}`];
  assert.deepEqual(await read({}, '{"t":21.50}'), pico('{"t":21.50}'));
  const topic = 'site/{id}/env';
  assert.deepEqual(await read({ topic }, '{"id":"a1","t":1}'), ['site/a1/env {"id":"a1","t":1}']);
  const columns = ['id', 'temperature', '_', 'state'];
  assert.deepEqual(await read({ format: 'csv', columns, topic }, 'p1,21.5,x,"on, or so"'), [
    'site/p1/env {"temperature":21.5,"state":"on, or so"}',
  ]);
  assert.deepEqual(await read({ format: 'csv' }, '1,2'), pico('1,2'));
  assert.deepEqual(
    await read({ format: 'key_value' }, 'temp=21.5 door:open;ok=true'),
    pico('{"temp":21.5,"door":"open","ok":true}'),
  );
  const pattern = '^T(?<id>\\d): (?<temperature>[-\\d.]+) C$';
  assert.deepEqual(await read({ format: 'regex', pattern, topic }, 'T3: -4.5 C'), [
    'site/3/env {"temperature":-4.5}',
  ]);
  assert.deepEqual(await read({ format: 'raw' }, 'anything'), pico('anything'));
  const data = { t: 21.5, list: [1, null], bytes: Uint8Array.of(1, 2) }; // as CBOR sorts them
  const json = '{"t":21.5,"list":[1,null],"bytes":"AQI="}';
  const binary = { framing: 'cobs', checksum: 'crc16_ccitt' };
  assert.deepEqual(await read({ ...binary, format: 'cbor' }, cbor(data)), pico(json));
  assert.deepEqual(await read({ ...binary, format: 'messagepack' }, messagepack(data)), pico(json));
  const senml = cbor(new Map([[2, 21.5]]));
  assert.deepEqual(await read({ ...binary, format: 'cbor' }, senml), pico('{"2":21.5}'));
});

test('formats: NMEA 0183 has named values, and each sentence a topic', async () => {
  const given = { format: 'nmea', topic: 'gps/{talker}/{sentence}' };
  const gga = '$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,';
  const rmc = '$GNRMC,123519.00,A,4807.038,S,01131.000,W,022.4,084.4,230394,003.1,W';
  const [first, second, ...others] = await read(
    given,
    gga,
    rmc,
    '$PUBX,41,1',
    '$GPGLL,,,,,,V',
    '$GPHDT,,T',
  );
  assert.equal(
    first,
    'gps/GP/GGA {"latitude":48.1173,"longitude":11.5166667,"fix_quality":1,"satellites":8,"hdop":0.9,"altitude":545.4}',
  );
  assert.equal(
    second,
    'gps/GN/RMC {"time":"1994-03-23T12:35:19Z","valid":true,"latitude":-48.1173,"longitude":-11.5166667,"speed_knots":22.4,"course":84.4}',
  );
  assert.deepEqual(others, ['gps/P/UBX {"1":41,"2":1}', 'gps/GP/GLL {"valid":false}']);
  const session = await sessionOf(given);
  const bad = publishedOf(session.receive(Buffer.from(`${gga}*46\n`), at(1), false));
  assert.deepEqual(bad, ['checksum']);
});

test('formats: what is not in the format is counted, never published and never fatal', async () => {
  const binary = { framing: 'cobs', checksum: 'crc16_ccitt' };
  const cases: readonly (readonly [object, string | Uint8Array])[] = [
    [{}, '{"t":'],
    [{}, Buffer.from([0x22, 0xff, 0x22])],
    [{ format: 'csv', columns: ['a', 'b'] }, '1'],
    [{ format: 'csv', columns: ['a', 'b'] }, '1,"2'],
    [{ format: 'key_value' }, 'hello'],
    [{ format: 'regex', pattern: '^a' }, 'b'],
    [{ ...binary, format: 'cbor' }, Buffer.from('ff', 'hex')],
    [{ ...binary, format: 'cbor' }, Buffer.alloc(2_000, 0x81)],
    [{ ...binary, format: 'messagepack' }, Buffer.alloc(2_000, 0x91)],
    [{ ...binary, format: 'messagepack' }, Buffer.from('c1', 'hex')],
  ];
  for (const [given, frame] of cases)
    assert.deepEqual(await read(given, frame), ['format'], JSON.stringify(given));
  const topic = 'site/{id}';
  for (const frame of ['{"t":1}', '{"id":""}', '{"id":{}}', `{"id":"${'x'.repeat(200)}"}`, '[1]'])
    assert.deepEqual(await read({ topic }, frame), ['topic'], frame);
  assert.deepEqual(await read({ topic }, '{"id":"a/+#b"}'), ['site/a___b {"id":"a/+#b"}']);
});

test('commands: written as a frame; an answer that is expected ends them and is not published', async () => {
  const order = { id: 'c1', device: 'pico', name: 'set', payload: Buffer.from('LED 1') };
  const plain = await sessionOf({ write: {} });
  const written = plain.command(order, at(1));
  assert.equal(written.write?.toString(), 'LED 1\n');
  assert.deepEqual(written.ended, [{ id: 'c1', outcome: { state: 'sent' } }]);
  assert.equal(
    plain.command({ ...order, payload: Buffer.alloc(0) }, at(2)).write?.toString(),
    'set\n',
  );
  const refused = plain.command({ ...order, payload: Buffer.from('a\nb') }, at(3));
  assert.deepEqual(refused.ended?.[0]?.outcome.state, 'failed');
  assert.equal(refused.write, undefined);

  const asking = await sessionOf({ write: { expect: '^(OK|ERR)', timeout: '1 s' } });
  assert.equal(asking.command(order, at(10)).ended, undefined);
  const { messages, ended } = asking.receive(
    Buffer.from('{"t":1}\nOK 1\n{"t":2}\n'),
    at(20),
    false,
  );
  assert.deepEqual(
    messages?.map(({ payload }) => String(payload)),
    ['{"t":1}', '{"t":2}'],
  );
  assert.deepEqual(ended, [{ id: 'c1', outcome: { state: 'done', answer: Buffer.from('OK 1') } }]);
  asking.command({ ...order, id: 'c2' }, at(100));
  assert.deepEqual(asking.tick(at(1_099)), {});
  const [late] = asking.tick(at(1_100)).ended ?? [];
  assert.equal(late?.id, 'c2');
  assert.match(JSON.stringify(late?.outcome), /failed.*OK\|ERR.*1000 ms/);
});

test('a silence ends a frame of known length, but not when the hub did not read', async () => {
  const given = { framing: 'length_prefixed', format: 'raw', frame_timeout: '100 ms' };
  const half = Buffer.from('0461', 'hex');
  const rest = Buffer.from('626364', 'hex');
  const whole = await sessionOf(given);
  whole.receive(half, at(0), false);
  assert.deepEqual(publishedOf(whole.receive(rest, at(500), true)), ['serial/pico abcd']);
  const cut = await sessionOf(given);
  cut.receive(half, at(0), false);
  assert.deepEqual(publishedOf(cut.tick(at(500))), ['partial']);
  assert.deepEqual(publishedOf(cut.receive(Buffer.from('0178', 'hex'), at(501), false)), [
    'serial/pico x',
  ]);
  cut.receive(half, at(600), false);
  assert.deepEqual(publishedOf(cut.closed()), ['partial']);
});

test('a port that has hung up ends: it answers zero bytes for ever', async (t) => {
  const ended = await open('/dev/null'); // so does this
  afterTest(t, () => ended.close());
  const binding = {
    fd: ended.fd,
    poller: { once: () => assert.fail('nothing to wait for') },
    read: async (_buffer: Buffer, _offset: number, _length: number): Promise<unknown> => 0,
    close: async () => {},
  };
  endAtHangUp(binding);
  await assert.rejects(binding.read(Buffer.alloc(10), 0, 10), /hung up/);
  await binding.close();
  await assert.rejects(binding.read(Buffer.alloc(10), 0, 10), { canceled: true });
});

test('a port that is closed in the middle of a read does not end the process', async (t) => {
  const port = '/dev/ptmx'; // a terminal that has nothing to read
  if (!existsSync(port)) return t.skip(`needs ${port}: Linux`);
  for (let cycle = 0; cycle < 50; cycle++) {
    const opened = await openPort(port, optionsOf({ port }));
    const closed = once(opened, 'close');
    opened.on('data', () => assert.fail('nothing was written'));
    await new Promise((resolve) => setImmediate(resolve)); // the first read is under way
    await closePort(opened);
    await closed;
  }
});

interface UsbDevice {
  readonly name: string;
  readonly ids: readonly [vendor: string, product: string, serial?: string];
}

/** A sysfs with these serial ports. */
async function system(t: TestContext, devices: readonly UsbDevice[]) {
  const root = await mkdtemp(join(tmpdir(), 'holdfast-serial-'));
  afterTest(t, () => rm(root, { recursive: true, force: true }));
  const folders = { sys: join(root, 'sys'), dev: join(root, 'dev') };
  await mkdir(join(folders.sys, 'class', 'tty', 'tty0'), { recursive: true });
  for (const [i, { name, ids }] of devices.entries()) {
    const device = join(folders.sys, 'devices', 'usb1', `1-${i}`);
    const port = join(device, `1-${i}:1.0`, name);
    await mkdir(port, { recursive: true });
    await writeFile(join(device, 'idVendor'), `${ids[0]}\n`);
    await writeFile(join(device, 'idProduct'), `${ids[1]}\n`);
    if (ids[2]) await writeFile(join(device, 'serial'), `${ids[2]}\n`);
    await mkdir(join(folders.sys, 'class', 'tty', name));
    await symlink(port, join(folders.sys, 'class', 'tty', name, 'device'));
  }
  return folders;
}

test('a port is found by vendor, product and serial number, whatever its number', async (t) => {
  const folders = await system(t, [
    { name: 'ttyUSB10', ids: ['0403', '6001', 'A1'] },
    { name: 'ttyUSB2', ids: ['0403', '6001', 'A2'] },
    { name: 'ttyACM0', ids: ['2e8a', '000a'] },
  ]);
  const find = async (usb: object): Promise<Found> => {
    const choice: PortChoice = serialSpec.options.parse({ usb });
    return await findPort(choice, folders);
  };
  const found = async (usb: object) => {
    const result = await find(usb);
    if (result.kind === 'found') return result.path.slice(folders.dev.length);
    return `${result.problem}; ${result.remedy}`;
  };
  assert.equal(await found({ vendor_id: '2E8A' }), '/ttyACM0');
  assert.equal(await found({ vendor_id: '0x0403', serial_number: 'A1' }), '/ttyUSB10');
  assert.equal(
    await found({ vendor_id: '0403', product_id: '6001', serial_number: 'A2' }),
    '/ttyUSB2',
  );
  assert.match(await found({ vendor_id: '0403' }), /several.*ttyUSB2.*A2.*ttyUSB10.*serial_number/);
  assert.match(
    await found({ vendor_id: '1a86' }),
    /no USB port 1a86:\*.*There are: .*2e8a:000a.*; plug it in/,
  );
  const absent = await findPort({ port: '/dev/holdfast-none', usb: undefined }, folders);
  assert.match(absent.kind === 'absent' ? absent.problem : '', /no port \/dev\/holdfast-none/);
});

test('options that do not go together are named', () => {
  const problemsOf = (given: object) =>
    serialSpec.options
      .safeParse(given)
      .error?.issues.map(({ path, message }) => `${path.join('.')} ${message}`) ?? [];
  const cases: readonly (readonly [object, RegExp])[] = [
    [{}, /^port is missing/],
    [{ port: 'ttyUSB0' }, /^port must be the whole path, such as `\/dev\/ttyUSB0`/],
    [{ port: '/p', usb: { vendor_id: '0403' } }, /^port is given, and `usb` too/],
    [{ port: '/p', framing: 'delimiter' }, /^delimiter is missing/],
    [{ port: '/p', framing: 'fixed' }, /^frame_bytes is missing/],
    [{ port: '/p', delimiter: ';' }, /^delimiter has no meaning with `framing: lines`/],
    [{ port: '/p', format: 'regex' }, /^pattern is missing/],
    [{ port: '/p', format: 'regex', pattern: '(' }, /^pattern is no regular expression/],
    [{ port: '/p', columns: ['a'] }, /^columns has no meaning with `format: json`/],
    [{ port: '/p', format: 'cbor' }, /^framing does not go with `format: cbor`/],
    [{ port: '/p', format: 'nmea', checksum: 'crc32' }, /^checksum is `nmea`/],
    [{ port: '/p', framing: 'cobs', checksum: 'nmea' }, /^checksum `nmea` is for/],
    [{ port: '/p', topic: 'a/#' }, /^topic has a wildcard/],
    [{ port: '/p', topic: 'holdfast/x' }, /^topic .*reserved/],
  ];
  for (const [given, expected] of cases) {
    const [problem = '', ...more] = problemsOf(given);
    assert.match(problem, expected, JSON.stringify(given));
    assert.deepEqual(more, [], JSON.stringify(given));
  }
});

test('when most frames cannot be used, the status says so, and what to check', () => {
  const health = new FrameHealth('/dev/x');
  health.bad('partial', 1);
  assert.equal(health.judge(), undefined, 'one half of a frame says nothing');
  health.bad('checksum', 3);
  const wire = 'check `baud_rate`, `parity`, `framing` and `checksum`';
  assert.deepEqual(health.judge(), {
    detail: `/dev/x: most frames cannot be used (checksum): ${wire}`,
  });
  for (let i = 0; i < 5; i++) health.good();
  health.bad('checksum', 4);
  assert.deepEqual(health.judge(), { detail: undefined }, 'a bad line is no wrong setting');
  health.bad('format', 4);
  assert.match(health.judge()?.detail ?? '', /\(format\): check `format`/);
  health.bad('topic', 4);
  assert.match(health.judge()?.detail ?? '', /\(topic\): check `topic`/);
});

test('the examples of the README pass `holdfast check`', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-serial-'));
  afterTest(t, () => rm(folder, { recursive: true, force: true }));
  const readme = await readFile(join(packageRoot(), 'firmware-bridge/serial/README.md'), 'utf8');
  const examples = [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');
  assert.ok(examples.length >= 2);
  for (const [i, example] of examples.entries()) {
    const file = join(folder, `${i}.yaml`);
    await writeFile(file, example);
    const loaded = loadConfig({ file }, {});
    assert.ok(loaded, example);
  }
});
