import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { channelTypeOf } from '../../firmware-bridge/iio/channel-type.ts';
import { IIO } from '../../firmware-bridge/iio/kind.ts';
import { iioSpec } from '../../firmware-bridge/iio/spec.ts';
import { ChipBridge } from '../../firmware-bridge/sampling/chip/chip-bridge.ts';
import { examineChips } from '../../firmware-bridge/sampling/chip/examine-chips.ts';
import { HubError } from '../../hub/core/errors.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { parsed, problemsOf } from '../config/problems-of.ts';
import { bridgeContract } from '../contract/bridge.ts';
import { BridgeSession } from '../support/bridge-session.ts';
import { ROOT } from '../support/repository.ts';
import { beginOn, SysTree } from '../support/sys-tree.ts';
import { until } from '../support/until.ts';

// a busy machine takes tenths of a second for a file
const QUICK = { interval: '20 ms', timeout: '500 ms' };
const LOOK_EVERY_MS = 30;
const BME280 = 'devices/platform/soc/i2c-1/1-0076/iio:device0';
const ADS1115 = 'devices/platform/soc/i2c-1/1-0048/iio:device1';

async function bme280(tree: SysTree): Promise<void> {
  await tree.files(BME280, {
    name: 'bme280\n',
    in_temp_input: '21440\n',
    in_temp_oversampling_ratio: '2\n',
    in_temp_raw: '519888\n',
    in_pressure_input: '101.325000000\n',
    in_humidityrelative_input: '47132\n',
    uevent: 'MAJOR=0\n',
  });
  await tree.link('bus/iio/devices/iio:device0', BME280);
}

async function ads1115(tree: SysTree): Promise<void> {
  await tree.files(ADS1115, {
    name: 'ads1115\n',
    label: 'levels\n',
    in_voltage0_raw: '8000\n',
    in_voltage0_scale: '0.187500000\n',
    'in_voltage0-voltage1_raw': '-4000\n',
    'in_voltage0-voltage1_scale': '0.125000000\n',
    in_voltage1_raw: '100\n',
    in_voltage_scale: '2\n',
    in_voltage_offset: '-20\n',
    in_temp_object_raw: '100\n',
    in_temp_object_scale: '20\n',
    in_temp_scale: '1\n',
    in_rot_quaternion_raw: '0 16384 -7 9\n',
    in_rot_scale: '0.5\n',
  });
  await tree.link('bus/iio/devices/iio:device1', ADS1115);
  await tree.link('bus/iio/devices/trigger0', ADS1115);
}

const bridgeOn = (tree: SysTree, options: object = {}) =>
  new ChipBridge(IIO, iioSpec.options.parse({ ...QUICK, ...options }), tree, LOOK_EVERY_MS);

function begin(t: TestContext, tree: SysTree, options: object = {}) {
  const session = beginOn(t, tree, bridgeOn(tree, options));
  return { session, of: (topic: string) => session.values(topic) };
}

bridgeContract('iio', {
  start: async () => {
    const tree = await SysTree.create();
    await bme280(tree);
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

test('every chip is read in the units of people, with raw values made whole', async (t) => {
  const tree = await SysTree.create();
  await bme280(tree);
  await ads1115(tree);
  const { of } = begin(t, tree);
  await until('both', () => [of('iio/bme280-1-0076'), of('iio/ads1115-1-0048')].every((x) => x[0]));
  assert.deepEqual(of('iio/bme280-1-0076')[0], {
    temperature: 21.44,
    pressure: 1013.25,
    humidity: 47.132,
  });
  const ads = of('iio/ads1115-1-0048')[0];
  const voltages = { voltage0: 1.49625, voltage0_1: -0.5025, voltage1: 0.16 };
  assert.deepEqual(ads, { ...voltages, temperature_object: 2 });
});

test('a chip is found by what it is and where it is, not by its number', async (t) => {
  const tree = await SysTree.create();
  await bme280(tree);
  const channels = [
    { channel: 'temp', offset: -1.5, metric: 'inside' },
    { channel: 'humidityrelative', min: 50 },
    { channel: 'voltage7' },
  ];
  const chips = [{ name: 'bme280', parent: '1-0076', device: 'house', channels }];
  const { session, of } = begin(t, tree, { chips });
  await until('a message', () => of('iio/house').length > 0);
  assert.deepEqual(of('iio/house')[0], { inside: 19.94 });
  await until('it is told', () =>
    /house \(bme280 at 1-0076\): it has no channel `voltage7`; it has .*temp/.test(
      session.detail ?? '',
    ),
  );
  const moved = BME280.replace('device0', 'device7');
  await tree.files(moved, { name: 'bme280\n', in_temp_input: '30000\n' });
  await tree.link('bus/iio/devices/iio:device7', moved);
  await tree.remove(BME280);
  await tree.remove('bus/iio/devices/iio:device0');
  await until('it is read under its new number', () => of('iio/house').at(-1)?.inside === 28.5);
  await ads1115(tree);
  await tree.remove('bus/iio/devices/iio:device7');
  await tree.remove(moved);
  const lost = await session.ended.catch((error: unknown) => error);
  assert.ok(lost instanceof HubError && lost.code === 'BRIDGE_LOST');
  assert.match(lost.message, /no chip bme280 at 1-0076; there are: ads1115 "levels" at 1-0048/);
});

test('a channel that fails does not stop the others of its chip', async (t) => {
  const tree = await SysTree.create();
  await bme280(tree);
  const { session, of } = begin(t, tree);
  await until('a message', () => of('iio/bme280-1-0076').length > 0);
  await tree.files(BME280, { in_pressure_input: 'nonsense\n' });
  await until('it is told', () =>
    /pressure: in_pressure_input says `nonsense`, which is no number/.test(session.detail ?? ''),
  );
  assert.ok(session.bad.includes('format'));
  assert.deepEqual(of('iio/bme280-1-0076').at(-1), { temperature: 21.44, humidity: 47.132 });
  await tree.files(BME280, { in_pressure_input: '100.000000\n' });
  await until('it is back', () => of('iio/bme280-1-0076').at(-1)?.pressure === 1000);
});

test('a chip whose bus hangs does not stop a chip on another bus, and its gap is told', async (t) => {
  const tree = await SysTree.create();
  await bme280(tree);
  await tree.files('devices/spi0.0/iio:device2', { name: 'mcp3008\n', in_voltage0_raw: '12\n' });
  await tree.link('bus/iio/devices/iio:device2', 'devices/spi0.0/iio:device2');
  const { session, of } = begin(t, tree);
  await until(
    'both',
    () => of('iio/bme280-1-0076').length > 0 && of('iio/mcp3008-spi0-0').length > 0,
  );
  await tree.fifo(`${BME280}/in_temp_input`);
  await until('it is told', () => /1 of 2 cannot be read; bme280/.test(session.detail ?? ''));
  const before = of('iio/mcp3008-spi0-0').length;
  await until('the other goes on', () => of('iio/mcp3008-spi0-0').length > before + 5);
  await tree.files(BME280, { in_temp_input: '21440\n' });
  await tree.release(`${BME280}/in_temp_input`, '1\n');
  await until('the gap', () => of('holdfast/bridge/bridge-1').length === 1);
  assert.equal(of('holdfast/bridge/bridge-1')[0].chip, 'bme280 at 1-0076');
});

test('of two chips that are alike it is asked which one is meant', async (t) => {
  const tree = await SysTree.create();
  await bme280(tree);
  await tree.files('devices/i2c-1/1-0077/iio:device3', { name: 'bme280\n', in_temp_input: '1\n' });
  await tree.link('bus/iio/devices/iio:device3', 'devices/i2c-1/1-0077/iio:device3');
  const chips = [
    { name: 'bme280', parent: '1-0077', device: 'b' },
    { name: 'bme280', device: 'a' },
  ];
  const { session, of } = begin(t, tree, { chips });
  await until('the one that is clear', () => of('iio/b').length > 0);
  assert.deepEqual(of('iio/b')[0], { temperature: 0.001 });
  await until('the other one', () => /several chips/.test(session.detail ?? ''));
  assert.match(
    session.detail ?? '',
    /several chips are bme280: bme280 at 1-0076, bme280 at 1-0077; say which by `parent`/,
  );
});

test('without a chip it says how to get one', async () => {
  await using tree = await SysTree.create();
  const session = new BridgeSession();
  const lost = await session.run(bridgeOn(tree)).catch((error: unknown) => error);
  assert.ok(lost instanceof HubError && lost.code === 'BRIDGE_LOST');
  assert.match(lost.message, /`dtoverlay=i2c-sensor,bme280` to \/boot\/firmware\/config.txt/);
});

test('one driver that has its own units is understood, before and after it was mended', async (t) => {
  const tree = await SysTree.create();
  const folder = 'devices/i2c-1/1-0077/iio:device0';
  await tree.files(folder, {
    ...{ name: 'bme680\n', in_temp_input: '24540\n', in_resistance_input: '3966\n' },
    ...{ in_humidityrelative_input: '41.074000000\n', in_pressure_input: '1014.350000000\n' },
  });
  await tree.link('bus/iio/devices/iio:device0', folder);
  const { of } = begin(t, tree);
  const topic = 'iio/bme680-1-0077';
  await until('a message', () => of(topic).length > 0);
  const expected = { humidity: 41.074, pressure: 1014.35, resistance: 3966, temperature: 24.54 };
  assert.deepEqual(of(topic)[0], expected);
  await tree.files(folder, {
    ...{ in_humidityrelative_input: '41075\n', in_pressure_input: '101.435000\n' },
  });
  await until('the other way', () => of(topic).at(-1)?.humidity === 41.075);
  assert.deepEqual(of(topic).at(-1), { ...expected, humidity: 41.075 });
});

test('channels are called as people call them', () => {
  const told = [
    ...['temp_ambient', 'voltage3', 'accel_x', 'concentration_co2', 'massconcentration_pm2p5'],
    ...['magn_z', 'illuminance', 'sampling', 'voltage0-voltage3', 'intensity_both'],
  ].map((name) => {
    const type = channelTypeOf(name);
    return type && `${type.metric} ${type.unit} ${type.factor}`;
  });
  assert.deepEqual(told, [
    'temperature_ambient °C 0.001',
    'voltage3 V 0.001',
    'acceleration_x m/s² 1',
    'concentration_co2 ppm 10000',
    'mass_concentration_pm2p5 µg/m³ 1',
    'magnetic_field_z µT 100',
    'illuminance lx 1',
    undefined,
    'voltage0_3 V 0.001',
    'intensity_both undefined 1',
  ]);
});

test('every channel of the ABI is in the unit that is said of it', async (t) => {
  const tree = await SysTree.create();
  // a file of the kernel, what is in it, and what is made of it
  const table: readonly (readonly [string, string, string, number, string | undefined])[] = [
    ['in_temp_input', '-5125', 'temperature', -5.125, '°C'],
    ['in_pressure_input', '101.325000', 'pressure', 1013.25, 'hPa'],
    ['in_humidityrelative_input', '47132', 'humidity', 47.132, '%'],
    ['in_voltage3_input', '-1250', 'voltage3', -1.25, 'V'],
    ['in_current0_input', '-320', 'current0', -0.32, 'A'],
    ['in_power1_input', '2500', 'power1', 2.5, 'W'],
    ['in_energy_input', '12345678901.5', 'energy', 12_345_678_901.5, 'J'],
    ['in_resistance_input', '3966', 'resistance', 3_966, 'Ω'],
    ['in_capacitance_input', '12.5', 'capacitance', 12.5, 'nF'],
    ['in_illuminance_input', '351', 'illuminance', 351, 'lx'],
    ['in_accel_x_input', '-9.806650', 'acceleration_x', -9.80665, 'm/s²'],
    ['in_anglvel_z_input', '0.017453', 'angular_velocity_z', 0.017453, 'rad/s'],
    ['in_magn_y_input', '0.480000', 'magnetic_field_y', 48, 'µT'],
    ['in_concentration_co2_input', '0.0812', 'concentration_co2', 812, 'ppm'],
    ['in_massconcentration_pm2p5_input', '7.3', 'mass_concentration_pm2p5', 7.3, 'µg/m³'],
    ['in_distance_input', '1.250000', 'distance', 1.25, 'm'],
    ['in_uvindex_input', '3.100000', 'uv_index', 3.1, undefined],
    ['in_gain_raw', '1', '', 0, undefined],
    ['in_voltage9_input', '1 2 3', '', 0, undefined],
  ];
  await tree.files('devices/i2c-1/1-0010/iio:device0', {
    name: 'all\n',
    ...Object.fromEntries(table.map(([file, text]) => [file, `${text}\n`])),
  });
  await tree.link('bus/iio/devices/iio:device0', 'devices/i2c-1/1-0010/iio:device0');
  const { session, of } = begin(t, tree, { timeout: '5 s' });
  await until('a message', () => of('iio/all-1-0010').length > 0);
  const known = table.filter(([, , metric]) => metric !== '');
  assert.deepEqual(
    of('iio/all-1-0010')[0],
    Object.fromEntries(known.map(([, , metric, value]) => [metric, value])),
  );
  await until('several numbers', () => /voltage9.*says `1 2 3`/.test(session.detail ?? ''));
  const { units } = iioSpec.decode(iioSpec.options.parse({}))[0] ?? {};
  for (const [, , metric, , unit] of known) assert.equal(units?.[metric], unit, metric);
});

test('doctor names the chips, their channels, and what is missing', async () => {
  await using tree = await SysTree.create();
  const look = async (chips: object[]) => {
    const options = iioSpec.options.parse({ chips });
    const findings = await examineChips(IIO, options, new AbortController().signal, tree);
    for (const { severity, remedy } of findings) if (severity !== 'ok') assert.ok(remedy);
    return findings.map(({ severity, subject, detail }) => `${severity} ${subject}: ${detail}`);
  };
  assert.deepEqual(await look([]), ['problem IIO: the kernel has no chip of IIO']);
  const missing = await look([{ name: 'bme280', device: 'house' }]);
  assert.deepEqual(missing, ['problem IIO: house: the kernel has no chip of IIO']);
  await bme280(tree);
  assert.deepEqual(await look([]), ['ok IIO: reads bme280 at 1-0076']);
  const channels = [{ channel: 'temp' }, { channel: 'lux' }];
  assert.deepEqual(
    await look([
      { name: 'bme280', device: 'a', channels },
      { name: 'x', device: 'b' },
    ]),
    [
      'ok IIO a: bme280 at 1-0076 has humidityrelative, pressure, temp',
      'problem IIO a: bme280 at 1-0076 has no channel `lux`',
      'problem IIO b: the kernel has no chip x; there are: bme280 at 1-0076',
    ],
  );
});

test('the example of the README is valid, and its metrics have units', () => {
  const readme = readFileSync(join(ROOT, 'firmware-bridge/iio/README.md'), 'utf8');
  const example = `hub: { id: h }\n${/```yaml\n(.*?)```/s.exec(readme)?.[1] ?? ''}`;
  assert.deepEqual(problemsOf(example), []);

  assert.equal(parsed(example).bridges.length, 1);
  const level = { channel: 'voltage0', metric: 'level', scale: 2, unit: '%' };
  const chips = [{ name: 'ads1115', device: 'tank', channels: [level] }];
  const decode = createDecoder(iioSpec.decode(iioSpec.options.parse({ chips })));
  const payload = Buffer.from('{"temperature":21.44,"level":50,"voltage7":1,"proximity":3}');
  const { readings } = decode({
    ...{ lane: 'normal', offset: 0, kind: 'message', source: 'bridge:x', bootId: 'b' },
    ...{ topic: 'iio/greenhouse', payload, receivedMs: Date.now() },
    ...{ timeQuality: 'synced', monotonicMs: 1 },
  });
  assert.deepEqual(
    readings.map(({ metric, unit }) => `${metric} ${unit}`),
    ['temperature °C', 'level %', 'voltage7 V', 'proximity undefined'],
  );
});

test('mistakes in `chips` are told with their place', () => {
  const of = (chips: string) =>
    problemsOf(`hub: { id: h }\nbridges:\n  - { id: b, type: iio, chips: [${chips}] }\n`).join(
      '\n',
    );
  assert.match(of('{ device: a }'), /chips\[0\] — .*give `name`, `label` or `parent`/);
  const twice = '{ name: x, device: a, channels: [{ channel: temp }, { channel: temp }] }';
  assert.match(of(twice), /channels\[1\]\.metric — `temperature` of a is there a second time/);
  const units =
    '{ name: x, device: a, channels: [{ channel: temp }] }, ' +
    '{ name: y, device: b, channels: [{ channel: temp, unit: K }] }';
  assert.match(of(units), /chips\[1\]\.channels\[0\]\.unit — `temperature` has another unit/);
  const range = '{ name: x, device: a, channels: [{ channel: temp, min: 2, max: 1 }] }';
  assert.match(of(range), /max — is 1, which is less than `min`: 2/);
});
