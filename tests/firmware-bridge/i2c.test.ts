import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { examineBus } from '../../firmware-bridge/i2c/examine.ts';
import { I2cBridge } from '../../firmware-bridge/i2c/i2c.ts';
import { i2cSpec } from '../../firmware-bridge/i2c/spec.ts';
import { HubError } from '../../hub/core/errors.ts';
import { parsed, problemsOf } from '../config/problems-of.ts';
import { bridgeContract } from '../contract/bridge.ts';
import { afterTest } from '../support/after-test.ts';
import { BridgeSession } from '../support/bridge-session.ts';
import { ADAPTER_NAME, I2cMachine } from '../support/i2c-machine.ts';
import { ROOT } from '../support/repository.ts';
import { until } from '../support/until.ts';

const READ = 'w1@0x40 0x02 r2';
const SUPPLY = {
  device: 'supply',
  address: 0x40,
  registers: [{ metric: 'voltage', register: 2, type: 'uint16', scale: 0.004, unit: 'V' }],
};
const optionsOf = (given: object = {}) =>
  i2cSpec.options.parse({ bus: 7, interval: '50 ms', timeout: '1 s', devices: [SUPPLY], ...given });

bridgeContract('i2c', {
  start: async () => {
    const machine = await I2cMachine.start();
    await machine.answer(READ, '0x0b 0xb8');
    return {
      bridge: new I2cBridge(optionsOf({ bus: ADAPTER_NAME }), await machine.scripted()),
      loseHardware: async () => {
        await machine.pullOut();
        const lost = "echo 'Error: Could not open file `/dev/i2c-7'; exit 1";
        await machine.answer(READ, undefined);
        await machine.script('i2ctransfer', `#!/bin/sh\n${lost}\n`);
      },
      stop: () => machine.stop(),
    };
  },
  hasHardware: true,
  periodMs: 60,
  unacceptedMax: 1,
});

async function begun(t: TestContext, given: object = {}) {
  const machine = await I2cMachine.start();
  await machine.answer(READ, '0x0b 0xb8');
  const session = new BridgeSession();
  const bridge = new I2cBridge(optionsOf(given), await machine.scripted());
  afterTest(t, async () => {
    await session.stop();
    await machine.stop();
  });
  return { machine, session, bridge };
}

const valuesOf = (session: BridgeSession, device: string) => session.values(`i2c/${device}`);

async function lossOf(session: BridgeSession): Promise<string> {
  try {
    await session.ended;
  } catch (error) {
    assert.ok(error instanceof HubError && error.code === 'BRIDGE_LOST', String(error));
    return error.message;
  }
  return assert.fail('run ended by itself');
}

const CLIMATE = {
  device: 'climate',
  address: 0x44,
  init: [{ write: [0x30, 0xa2] }],
  measurements: [
    {
      ...{ write: [0x24, 0x00], delay: '1 ms', read: 6, crc: 'each_word' },
      values: [
        { metric: 'temperature', byte: 0, type: 'uint16', scale: 0.01 },
        { metric: 'humidity', byte: 2, type: 'uint16', scale: 0.01 },
      ],
    },
  ],
};

test('a device without registers: init, command, pause, bytes with checksums', async (t) => {
  const { machine, session, bridge } = await begun(t, { devices: [CLIMATE] });
  await machine.answer('w2@0x44 0x30 0xa2', '');
  await machine.answer('w2@0x44 0x24 0x00', '');
  await machine.answer('r6@0x44', '0xbe 0xef 0x92 0x00 0x64 0xfe');
  session.begin(bridge);
  await until('a reading', () => valuesOf(session, 'climate').length > 0);
  assert.deepEqual(valuesOf(session, 'climate')[0], { temperature: 488.79, humidity: 1 });
  await machine.answer('r6@0x44', '0xbe 0xef 0x93 0x00 0x64 0xfe');
  await until('a bad one', () => session.bad.includes('checksum'));
  const count = valuesOf(session, 'climate').length;
  await until('another try', () => session.bad.length >= 2);
  assert.equal(valuesOf(session, 'climate').length, count, 'garbage is left out');
  const inits = async () =>
    (await readFile(join(machine.chips, 'log'), 'utf8')).split('w2@0x44 0x30 0xa2').length - 1;
  await until('init again', async () => (await inits()) >= 2);
});

test('a dead device does not stop the others, is told, begins anew, and its gap is an event', async (t) => {
  const { machine, session, bridge } = await begun(t, { devices: [SUPPLY, CLIMATE] });
  session.begin(bridge);
  await until('it is told', () => /1 of 2 cannot be read/.test(session.detail ?? ''));
  assert.match(session.detail ?? '', /climate \(0x44 on i2c-7\): it does not acknowledge/);
  const before = valuesOf(session, 'supply').length;
  await until('the other goes on', () => valuesOf(session, 'supply').length > before + 2);
  assert.deepEqual(valuesOf(session, 'supply')[0], { voltage: 12 });
  await machine.answer('w2@0x44 0x30 0xa2', '');
  await machine.answer('w2@0x44 0x24 0x00', '');
  await machine.answer('r6@0x44', '0xbe 0xef 0x92 0x00 0x64 0xfe');
  await until('it is back', () => valuesOf(session, 'climate').length > 0);
  const gap = session.messages.find(({ kind }) => kind === 'hub.health');
  const { device, address, reason } = JSON.parse(String(gap?.payload));
  assert.deepEqual([device, address], ['climate', '0x44']);
  assert.match(reason, /does not acknowledge/);
  const log = await readFile(join(machine.chips, 'log'), 'utf8');
  const asked = new Set(log.match(/0x4[0-9a-f](?= )/g));
  assert.deepEqual([...asked].sort(), ['0x40', '0x44'], 'nobody else is asked');
  assert.doesNotMatch(session.detail ?? '', /cannot be read/);
});

test('a transfer that hangs is ended with all it has started, and is no other one', async (t) => {
  const { machine, session, bridge } = await begun(t, { timeout: '200 ms' });
  session.begin(bridge);
  await until('a reading', () => valuesOf(session, 'supply').length > 0);
  await machine.mark('stuck');
  const message = await lossOf(session);
  assert.match(message, /supply \(0x40 on i2c-7\): no end of the transfer in 200 ms.*SDA/);
  await machine.unmark('stuck');
  const again = new BridgeSession();
  afterTest(t, () => again.stop());
  again.begin(bridge);
  await until('a reading again', () => valuesOf(again, 'supply').length > 0);
  assert.equal(again.messages[0]?.kind, 'hub.health', 'the gap comes first');
});

test('what is missing says how to get it', async (t) => {
  const { machine, bridge } = await begun(t);
  const failure = async (one: I2cBridge) => {
    const session = new BridgeSession();
    session.begin(one);
    return await lossOf(session);
  };
  await machine.pullOut();
  assert.match(
    await failure(bridge),
    /there is no I2C bus i2c-7; the kernel has none.*raspi-config/,
  );
  await machine.plugIn();
  const other = new I2cBridge(optionsOf({ bus: 3 }), await machine.scripted());
  assert.match(await failure(other), /there are 7 \(bcm2835 \(i2c@7e804000\)\): write one of them/);
  const bare = { roots: machine.roots, env: { PATH: machine.folder } };
  assert.match(await failure(new I2cBridge(optionsOf(), bare)), /apt install i2c-tools/);
  await machine.script('i2ctransfer', '#!/bin/sh\necho BusyBox v1.37.0 >&2; exit 1\n');
  assert.match(await failure(bridge), /those of BusyBox will not do.*apt install i2c-tools/);
  await machine.bind('40', 'ina2xx');
  const busy = "echo 'Error: Could not set address to 0x40: Device or resource busy'; exit 1";
  const taken = `[ "$*" = -V ] && exit 0; ${busy}`;
  await machine.script('i2ctransfer', `#!/bin/sh\n${taken}\n`);
  const text = await failure(bridge);
  assert.match(text, /supply \(0x40 on i2c-7\): the driver `ina2xx`.*type iio or hwmon.*7-0040/);
});

test('doctor looks at the bus, the tools and the drivers, and asks no address', async (t) => {
  const { machine } = await begun(t);
  const around = await machine.scripted();
  const { signal } = new AbortController();
  await machine.bind('40', 'ina2xx');
  const findings = await examineBus(optionsOf(), signal, around);
  assert.deepEqual(
    findings.map(({ severity }) => severity),
    ['ok', 'problem'],
  );
  assert.match(findings[1]?.remedy ?? '', /echo 7-0040 \| sudo tee .*ina2xx\/unbind/);
  await machine.script('i2ctransfer', '#!/bin/sh\necho BusyBox v1.37.0 >&2; exit 1\n');
  const [, tools] = await examineBus(optionsOf(), signal, around);
  assert.match(tools?.detail ?? '', /i2ctransfer is not that of i2c-tools/);
  const bare = { ...around, env: { PATH: machine.folder } };
  const [, missing] = await examineBus(optionsOf(), signal, bare);
  assert.deepEqual([missing?.severity, missing?.remedy], ['problem', 'sudo apt install i2c-tools']);
  await machine.pullOut();
  const [gone] = await examineBus(optionsOf(), signal, around);
  assert.equal(gone?.severity, 'problem');
  await assert.rejects(readFile(join(machine.chips, 'log')), 'no transfer was made');
});

test('commands: bits keep their neighbours, and what cannot be written says why', async (t) => {
  const registers = [
    { metric: 'pump', register: 20, type: 'bool', bit: 0, writable: true },
    { metric: 'limit', register: 6, type: 'uint16', scale: 0.5, max: 50, writable: true },
    { metric: 'state', register: 9 },
  ];
  const relays = { device: 'relays', address: 0x20, registers };
  const { machine, session, bridge } = await begun(t, { devices: [relays], interval: '1 h' });
  const command = (name: string, payload: string) => {
    const order = { id: 'c', device: 'relays', name, payload: Buffer.from(payload) };
    return bridge.commands.carryOut(order, () => {}, AbortSignal.timeout(5_000));
  };
  assert.match(JSON.stringify(await command('pump', 'true')), /bus is not open/);
  for (const words of ['w1@0x20 0x14 r1', 'w1@0x20 0x09 r1']) await machine.answer(words, '0xa2');
  await machine.answer('w1@0x20 0x06 r2', '0x00 0x01');
  await machine.answer('w2@0x20 0x14 0xa3', '');
  await machine.answer('w3@0x20 0x06 0x00 0x55', '');
  session.begin(bridge);
  await until('a reading', () => session.messages.length > 0);
  assert.deepEqual(await command('pump', 'true'), { state: 'done' });
  assert.deepEqual(await command('limit', '{"value": 42.5}'), { state: 'done' });
  assert.match(JSON.stringify(await command('limit', '60')), /is 60; allowed are/);
  assert.match(JSON.stringify(await command('state', '1')), /not `writable`/);
  assert.match(JSON.stringify(await command('pomp', '1')), /it has `pump`, `limit`/);
  assert.match(JSON.stringify(await command('pump', '"x"')), /no number, true or false/);
  await machine.answer('w2@0x20 0x14 0xa3', undefined);
  assert.match(JSON.stringify(await command('pump', '1')), /0x20 on i2c-7.*written or not/);
  assert.equal(bridge.commands.owns('relays', 'x'), true);
  assert.equal(bridge.commands.owns('supply', 'x'), false);
});

test('the example of the README is valid', async () => {
  const readme = await readFile(join(ROOT, 'firmware-bridge/i2c/README.md'), 'utf8');
  const example = /```yaml\n(.*?)```/s.exec(readme)?.[1] ?? '';
  assert.deepEqual(problemsOf(`hub: { id: h }\n${example}`), []);
  assert.equal(parsed(`hub: { id: h }\n${example}`).bridges.length, 1);
});
