import assert from 'node:assert/strict';
import { constants, readFileSync } from 'node:fs';
import { chmod, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { BulkConversion } from '../../firmware-bridge/one_wire/conversion.ts';
import { examine } from '../../firmware-bridge/one_wire/examine.ts';
import { SENSORS_MAX } from '../../firmware-bridge/one_wire/fields.ts';
import { OneWireBridge } from '../../firmware-bridge/one_wire/one-wire.ts';
import { oneWireSpec } from '../../firmware-bridge/one_wire/spec.ts';
import { judgeScratchpad, judgeTemperature } from '../../firmware-bridge/one_wire/temperature.ts';
import { HubError } from '../../hub/core/errors.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { parsed, problemsOf } from '../config/problems-of.ts';
import { bridgeContract } from '../contract/bridge.ts';
import { afterTest } from '../support/after-test.ts';
import { BridgeSession } from '../support/bridge-session.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { ROOT } from '../support/repository.ts';
import { beginOn, SysTree } from '../support/sys-tree.ts';
import { until } from '../support/until.ts';

const A = '28-0316a2795ff0';
const B = '28-0416a279aa11';
const MASTER = 'bus/w1/devices/w1_bus_master1';
// a busy machine takes tenths of a second for a file
const QUICK = { interval: '20 ms', timeout: '500 ms' };
const LOOK_EVERY_MS = 30;

/** The kernel shows a sensor as a folder below its bus, and as a link beside it. */
async function plugIn(tree: SysTree, id: string, milli: number, master = 1): Promise<void> {
  const folder = `devices/w1_bus_master${master}/${id}`;
  await tree.files(folder, { temperature: `${milli}\n`, name: `${id}\n`, resolution: '12\n' });
}

async function busWith(sensors: Readonly<Record<string, number>>): Promise<SysTree> {
  const tree = await SysTree.create();
  await tree.files('devices/w1_bus_master1', { w1_master_slave_count: '2\n' });
  await tree.link(MASTER, 'devices/w1_bus_master1');
  for (const [id, milli] of Object.entries(sensors)) await plugIn(tree, id, milli);
  return tree;
}

const bridgeOn = (tree: SysTree, options: object = {}) =>
  new OneWireBridge(oneWireSpec.options.parse({ ...QUICK, ...options }), tree, LOOK_EVERY_MS);

function begin(t: TestContext, tree: SysTree, options: object = {}) {
  const session = beginOn(t, tree, bridgeOn(tree, options));
  const valuesOf = (device: string): number[] =>
    session.values(`one_wire/${device}`).map(({ temperature }) => Number(temperature));
  return { session, valuesOf, gaps: () => session.values('holdfast/bridge/bridge-1') };
}

bridgeContract('one_wire', {
  start: async () => {
    const tree = await busWith({ [A]: 21_437, [B]: 18_000 });
    return {
      bridge: bridgeOn(tree),
      loseHardware: () => tree.remove('bus'),
      stop: () => tree[Symbol.asyncDispose](),
    };
  },
  periodMs: 30,
  hasHardware: true,
  unacceptedMax: 1,
});

test('sensors are read by their names, with their offsets, and without one by their ids', async (t) => {
  const tree = await busWith({ [A]: 21_437, [B]: -5_125 });
  const named = { sensor: A, device: 'boiler', metric: 'flow', offset: -0.3 };
  const { session } = begin(t, tree, { sensors: [named], discover: true });
  await until('both', () => new Set(session.messages.map(({ topic }) => topic)).size === 2);
  const texts = session.published().map((text) => text.replace(/"time":\d+,/, ''));
  assert.ok(texts.includes('one_wire/boiler {"flow":21.137}'), texts.join('\n'));
  assert.ok(texts.includes(`one_wire/${B} {"temperature":-5.125}`), texts.join('\n'));
});

test('with names only those are read', async (t) => {
  const tree = await busWith({ [A]: 21_437, [B]: 18_000 });
  const { session, valuesOf } = begin(t, tree, { sensors: [{ sensor: A, device: 'a' }] });
  await until('three', () => valuesOf('a').length >= 3);
  assert.ok(session.messages.every(({ topic }) => topic === 'one_wire/a'));
});

const GOOD_BYTES = '50 05 4b 46 7f ff 10 10 f5';
const slave = (bytes: string, crc: 'YES' | 'NO', milli: number) =>
  `${bytes} : crc=f5 ${crc}\n${bytes} t=${milli}`;

test('what no thermometer has measured is told apart from what it may measure', () => {
  assert.deepEqual(judgeTemperature('21437', A), { is: 'good', celsius: 21.437 });
  assert.equal(judgeTemperature('85000', A).is, 'suspect');
  assert.equal(judgeTemperature('0', A).is, 'suspect');
  for (const text of ['127937', '-127000', '', '21.4', 'x'])
    assert.equal(judgeTemperature(text, A).is, 'bad', text);
  assert.deepEqual(judgeScratchpad(slave(GOOD_BYTES, 'YES', 85_000), A), {
    is: 'good',
    celsius: 85,
  });
  const reasons = [
    slave('50 05 4b 46 7f ff 0c 10 1c', 'YES', 85_000),
    slave(GOOD_BYTES, 'NO', 85_000),
    slave('00 00 00 00 00 00 00 00 00', 'YES', 0),
    slave(GOOD_BYTES, 'YES', 127_937),
    'garbage',
  ].map((text) => {
    const verdict = judgeScratchpad(text, A);
    return verdict.is === 'bad' ? verdict.reason : verdict.is;
  });
  assert.deepEqual(reasons, ['format', 'checksum', 'format', 'format', 'format']);
});

test('85 °C at power-on is left out and counted, and of a boiler it is believed', async (t) => {
  const old = '10-000802a5c0de';
  const tree = await busWith({ [A]: 84_937, [B]: 84_937, [old]: 84_937 });
  const { session, valuesOf } = begin(t, tree);
  const ids = [A, B, old];
  await until('all', () => ids.every((id) => valuesOf(id).length > 0));
  for (const id of ids) {
    const bytes = id === A ? GOOD_BYTES : '50 05 4b 46 7f ff 0c 10 1c';
    await tree.files(`devices/w1_bus_master1/${id}`, {
      w1_slave: `${slave(bytes, 'YES', 85_000)}\n`,
      temperature: '85000\n',
    });
  }
  await until('the boiler', () => valuesOf(A).at(-1) === 85);
  await until('a DS18S20, which cannot tell', () => valuesOf(old).at(-1) === 85);
  await until('it is counted', () => session.bad.length >= 2);
  assert.ok(session.bad.every((reason) => reason === 'format'));
  await until('it is told', () => /says 85 °C, as after power-on/.test(session.detail ?? ''));
  assert.ok(valuesOf(B).every((value) => value === 84.937));
});

test('a line at ground is no 0 °C, near frost too', async (t) => {
  const tree = await busWith({ [A]: 62, [B]: 21_000 });
  const { session, valuesOf } = begin(t, tree);
  await until('both', () => valuesOf(A).length > 0 && valuesOf(B).length > 0);
  await tree.files(`devices/w1_bus_master1/${A}`, {
    w1_slave: `${slave('00 00 00 00 00 00 00 00 00', 'YES', 0)}\n`,
    temperature: '0\n',
  });
  await until('it is told', () => /the data line is at ground/.test(session.detail ?? ''));
  assert.ok(!valuesOf(A).includes(0));
});

test('a thermocouple may be hotter than a chip, unless it is not connected', () => {
  const couple = '3b-000000182d44';
  const judged = (milli: number, byte4: string, id = couple) => {
    const bytes = `00 19 4b 46 ${byte4} ff 00 00 99`;
    const verdict = judgeTemperature(`${milli}`, id);
    return verdict.is === 'suspect' ? judgeScratchpad(slave(bytes, 'YES', milli), id) : verdict;
  };
  assert.deepEqual(judged(400_000, 'f0'), { is: 'good', celsius: 400 });
  assert.deepEqual(judged(-80_250, 'f0'), { is: 'good', celsius: -80.25 });
  assert.equal(judged(21_000, 'f0').is, 'good');
  assert.match(JSON.stringify(judged(2_047_750, 'f0')), /thermocouple is not connected/);
  assert.match(JSON.stringify(judged(400_000, '70')), /supply is too weak/);
  assert.match(JSON.stringify(judged(400_000, 'f0', A)), /supply is too weak/);
});

test('sensors for which there is no room are told', async (t) => {
  const ids = Array.from(
    { length: SENSORS_MAX + 2 },
    (_, i) => `28-${String(i).padStart(12, '0')}`,
  );
  const tree = await busWith(Object.fromEntries(ids.map((id) => [id, 20_000])));
  const { session } = begin(t, tree, { interval: '1 s', timeout: '5 s' });
  await until('it is told', () => /^2 more sensors are not read: /.test(session.detail ?? ''));
});

test('a kernel without the file `temperature` is read by `w1_slave`', async (t) => {
  const tree = await busWith({ [A]: 0 });
  await tree.remove(`devices/w1_bus_master1/${A}/temperature`);
  const write = (text: string) =>
    tree.files(`devices/w1_bus_master1/${A}`, { w1_slave: `${text}\n` });
  await write(slave('72 01 4b 46 7f ff 0e 10 57', 'YES', 23_125));
  const { session, valuesOf } = begin(t, tree);
  await until('a value', () => valuesOf(A).length > 0);
  assert.equal(valuesOf(A)[0], 23.125);
  await write(slave('72 01 4b 46 7f ff 0e 10 57', 'NO', 23_125));
  await until('the checksum', () => session.bad.includes('checksum'));
});

test('a sensor that hangs or leaves does not stop the other, and its gap is told', async (t) => {
  const tree = await busWith({ [A]: 21_437, [B]: 18_000 });
  const { session, valuesOf, gaps } = begin(t, tree);
  await until('both', () => valuesOf(A).length > 1 && valuesOf(B).length > 1);
  await tree.fifo(`devices/w1_bus_master1/${A}/temperature`);
  await until('it is named', () =>
    (session.detail ?? '').startsWith(`1 of 2 cannot be read; ${A}: `),
  );
  const before = valuesOf(B).length;
  await until('the other goes on', () => valuesOf(B).length > before + 5);
  await plugIn(tree, A, 22_000);
  await tree.release(`devices/w1_bus_master1/${A}/temperature`, '5000\n');
  await until('it is back', () => valuesOf(A).at(-1) === 22);
  assert.equal(gaps().length, 1);
  assert.equal(gaps()[0].device, A);
  assert.equal(gaps()[0].sensor, A);
  assert.ok(!valuesOf(A).includes(5), 'what came too late is not sent');
  await tree.remove(`devices/w1_bus_master1/${A}`);
  await until('it is missed', () => /it is on no bus|has left the bus/.test(session.detail ?? ''));
});

test('a new one is read, on another bus too', async (t) => {
  const tree = await busWith({ [A]: 21_437 });
  const { valuesOf } = begin(t, tree);
  await until('the first', () => valuesOf(A).length > 0);
  await plugIn(tree, B, 18_000, 2);
  await tree.link('bus/w1/devices/w1_bus_master2', 'devices/w1_bus_master2');
  await until('the second', () => valuesOf(B).length > 0);
});

test('without a bus, and without a sensor, it says what to do', async (t) => {
  const tree = await SysTree.create();
  afterTest(t, () => tree[Symbol.asyncDispose]());
  const lost = async (): Promise<string> => {
    const session = new BridgeSession();
    const error = await session.run(bridgeOn(tree)).catch((reason: unknown) => reason);
    assert.ok(error instanceof HubError && error.code === 'BRIDGE_LOST');
    return error.message;
  };
  assert.match(await lost(), /`dtoverlay=w1-gpio`.*\/boot\/firmware\/config.txt and reboot/);
  await tree.folder(MASTER);
  assert.match(await lost(), /no thermometer answers on the bus: .*4\.7 kΩ/);
  await tree.files(`${MASTER}/${A}`, { name: `${A}\n` });
  assert.match(await lost(), new RegExp(`${A}: .*\`sudo modprobe w1_therm\``));
  await tree.files(`${MASTER}/${A}`, { temperature: '' });
  assert.match(await lost(), new RegExp(`${A}: it does not answer`));
});

test('all sensors of a bus convert at once, once in a cycle', async (t) => {
  const ids = Array.from({ length: 20 }, (_, i) => `28-${String(i).padStart(12, '0')}`);
  const tree = await busWith(Object.fromEntries(ids.map((id, i) => [id, 1_000 * (i + 1)])));
  const path = 'devices/w1_bus_master1/therm_bulk_read';
  await tree.files('devices/w1_bus_master1', { therm_bulk_read: '0\n' });
  const { session } = begin(t, tree, { interval: '300 ms' });
  const cycles = () => Math.floor(session.messages.length / ids.length);
  await until('a cycle', () => cycles() === 1);
  assert.equal(await readFile(tree.path(path), 'utf8'), 'trigger\n');
  await tree.files('devices/w1_bus_master1', { therm_bulk_read: '1\n' });
  await tree.fifo(path); // who writes to it is seen by what is in it
  const seen = await open(tree.path(path), constants.O_RDONLY | constants.O_NONBLOCK);
  afterTest(t, () => seen.close());
  await until('three more', () => cycles() >= 4);
  const { bytesRead } = await seen.read(Buffer.alloc(4_096), 0, 4_096, null);
  assert.ok(bytesRead % 8 === 0 && bytesRead / 8 <= 4, `${bytesRead} bytes`);
  assert.ok(bytesRead / 8 >= 3);
});

test('a value that was converted too long ago is converted anew', async (t) => {
  const tree = await busWith({ [A]: 21_437, [B]: 18_000 });
  afterTest(t, () => tree[Symbol.asyncDispose]());
  const path = tree.path('devices/w1_bus_master1/therm_bulk_read');
  const clock = new FakeClock();
  const conversion = new BulkConversion(tree.path('devices/w1_bus_master1'));
  const triggered = async (id: string): Promise<boolean> => {
    await tree.files('devices/w1_bus_master1', { therm_bulk_read: '0\n' });
    await conversion.prepare(id, [A, B], clock, new AbortController().signal);
    return (await readFile(path, 'utf8')) === 'trigger\n';
  };
  assert.equal(await triggered(A), true);
  clock.advance(100);
  assert.equal(await triggered(B), false);
  assert.equal(await triggered(A), true, 'its value was read already');
  clock.advance(5_000);
  assert.equal(await triggered(B), true);
});

test('the resolution is set, and told when it may not be', async (t) => {
  const tree = await busWith({ [A]: 21_437, [B]: 18_000 });
  await tree.remove(`devices/w1_bus_master1/${B}/resolution`);
  await tree.folder(`devices/w1_bus_master1/${B}/resolution`); // what root may not write either
  const { session, valuesOf } = begin(t, tree, { resolution: 10 });
  await until('both', () => valuesOf(A).length > 1 && valuesOf(B).length > 1);
  const set = await readFile(tree.path(`devices/w1_bus_master1/${A}/resolution`), 'utf8');
  assert.equal(set, '10\n');
  assert.match(session.detail ?? '', new RegExp(`${B}: its resolution could not be set to 10`));
});

test('doctor names what is there, what is missing and what would be faster', async (t) => {
  const tree = await SysTree.create();
  afterTest(t, () => tree[Symbol.asyncDispose]());
  const options = oneWireSpec.options.parse({ sensors: [{ sensor: A, device: 'a' }] });
  const look = async () => {
    const findings = await examine(options, new AbortController().signal, { ...tree, boot: '/b' });
    for (const { severity, remedy } of findings) if (severity !== 'ok') assert.ok(remedy);
    return findings.map(({ severity, subject, detail }) => `${severity} ${subject}: ${detail}`);
  };
  assert.deepEqual(await look(), ['problem 1-Wire: the kernel has no 1-Wire bus']);
  await tree.files('devices/w1_bus_master1', { w1_master_slave_count: '0\n' });
  await tree.link(MASTER, 'devices/w1_bus_master1');
  assert.deepEqual(await look(), [
    'problem 1-Wire w1_bus_master1: no thermometer is on it',
    `problem 1-Wire a: ${A} is on no bus`,
  ]);
  await plugIn(tree, A, 1);
  await plugIn(tree, B, 1);
  const found = `ok 1-Wire w1_bus_master1: 2 thermometers: ${A}, ${B}`;
  assert.deepEqual(await look(), [found]);
  await tree.files('devices/w1_bus_master1', { therm_bulk_read: '0\n' });
  await chmod(tree.path('devices/w1_bus_master1/therm_bulk_read'), 0o444);
  const slowly =
    'note 1-Wire w1_bus_master1: the 2 sensors convert one after the other, 0.8 s each';
  // root may write what nobody may
  assert.deepEqual(await look(), process.geteuid?.() === 0 ? [found] : [found, slowly]);
});

test('the example of the README is valid, and its metrics have units', () => {
  const readme = readFileSync(join(ROOT, 'firmware-bridge/one_wire/README.md'), 'utf8');
  const example = `hub: { id: h }\n${/```yaml\n(.*?)```/s.exec(readme)?.[1] ?? ''}`;
  assert.deepEqual(problemsOf(example), []);
  assert.equal(parsed(example).bridges.length, 1);
  const sensors = [{ sensor: A, device: 'boiler', metric: 'flow' }];
  const decode = createDecoder(oneWireSpec.decode(oneWireSpec.options.parse({ sensors })));
  const { readings } = decode({
    ...{ lane: 'normal', offset: 0, kind: 'message', source: 'bridge:x', bootId: 'b' },
    ...{ topic: 'one_wire/boiler', payload: Buffer.from('{"flow":21.437}') },
    ...{ receivedMs: Date.now(), timeQuality: 'synced', monotonicMs: 1 },
  });
  assert.deepEqual(
    readings.map(({ device, metric, value, unit }) => ({ device, metric, value, unit })),
    [{ device: 'boiler', metric: 'flow', value: 21.437, unit: '°C' }],
  );
});

test('a sensor that is named twice, and an id that is none, are errors of the configuration', () => {
  const of = (sensors: string) =>
    problemsOf(`hub: { id: h }\nbridges:\n  - { id: b, type: one_wire, sensors: [${sensors}] }\n`);
  const twice = of(`{ sensor: ${A}, device: a }, { sensor: ${A}, device: b }`);
  assert.equal(twice.length, 1);
  assert.match(twice[0] ?? '', /sensors\[1\]\.sensor — names 28-0316a2795ff0 a second time/);
  assert.match(of('{ sensor: 29-0316a2795ff0, device: a }')[0] ?? '', /is no id of a thermometer/);
  assert.match(
    of(`{ sensor: ${A}, device: a }, { sensor: ${B}, device: a }`)[0] ?? '',
    /is another sensor's, with the same `metric`/,
  );
});
