/**
 * The real programs of i2c-tools, against simulated chips under them (i2c-bus.c): what the bridge
 * asks for is what the tools take, and what they answer is what it reads. A real bus of the kernel
 * is in tests/pi-vm.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { I2cBridge } from '../../firmware-bridge/i2c/i2c.ts';
import { i2cSpec } from '../../firmware-bridge/i2c/spec.ts';
import { toolPath } from '../../firmware-bridge/i2c/tool-shell.ts';
import { afterTest } from '../support/after-test.ts';
import { BridgeSession } from '../support/bridge-session.ts';
import { I2cMachine } from '../support/i2c-machine.ts';
import { ROOT } from '../support/repository.ts';
import { until } from '../support/until.ts';

const SOURCE = join(ROOT, 'tests', 'peers', 'i2c-bus.c');
const HEAD_BYTES = 2;
const CHIP_BYTES = 512;
const ANSWERS_AT = 64;

function hasTools(t: TestContext): boolean {
  const env = { PATH: toolPath() };
  const works = (command: string, word: string) => !spawnSync(command, [word], { env }).error;
  if (works('i2ctransfer', '-V') && works('gcc', '--version')) return true;
  const text = 'needs i2c-tools and gcc: apt-get install i2c-tools gcc libc6-dev';
  if (process.env['HOLDFAST_REQUIRE_PEERS'] === '1') assert.fail(text);
  t.skip(text);
  return false;
}

class ChipBus {
  readonly machine: I2cMachine;
  constructor(machine: I2cMachine) {
    this.machine = machine;
  }

  async chip(address: string, kind: 'b' | 'w' | 'c', at: number, hex: string): Promise<void> {
    const bytes = Buffer.alloc(HEAD_BYTES + CHIP_BYTES);
    bytes.write(kind, 'latin1');
    bytes.write(hex, HEAD_BYTES + at, 'hex');
    await writeFile(join(this.machine.chips, address), bytes);
  }

  async bytesOf(address: string, at: number, length: number): Promise<string> {
    const bytes = await readFile(join(this.machine.chips, address));
    return bytes.toString('hex', HEAD_BYTES + at, HEAD_BYTES + at + length);
  }
}

async function begin(t: TestContext, devices: readonly object[]) {
  const machine = await I2cMachine.start();
  const library = join(machine.folder, 'i2c-bus.so');
  const words = ['-shared', '-fPIC', '-O1', '-Wall', '-Wextra', '-Werror', '-o', library, SOURCE];
  const built = spawnSync('gcc', [...words, '-ldl'], { encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
  const env = { LD_PRELOAD: library, I2C_CHIPS: machine.chips, I2C_DEVICE: '/dev/i2c-7' };
  const given = { bus: 7, interval: '100 ms', timeout: '500 ms', devices };
  const bridge = new I2cBridge(i2cSpec.options.parse(given), { roots: machine.roots, env });
  const session = new BridgeSession();
  afterTest(t, async () => {
    await session.stop();
    await machine.stop();
  });
  return { bus: new ChipBus(machine), bridge, session };
}

const lastOf = (session: BridgeSession, device: string) =>
  JSON.stringify(session.values(`i2c/${device}`).at(-1) ?? {});

const SUPPLY = {
  device: 'supply',
  address: 0x40,
  init: [{ register: 0, value: 0x399f, type: 'uint16' }],
  registers: [
    { metric: 'voltage', register: 2, type: 'uint16', shift: 3, scale: 0.004, writable: true },
    { metric: 'shunt', register: 1, type: 'int16', scale: 0.01 },
  ],
};
const RELAYS = {
  device: 'relays',
  address: 0x20,
  auto_increment: true,
  registers: [
    { metric: 'pump', register: 0x14, type: 'bool', bit: 0, writable: true },
    { metric: 'fan', register: 0x14, type: 'bool', bit: 1 },
    { metric: 'count', register: 0x15, type: 'uint24' },
  ],
};
const CLIMATE = {
  device: 'climate',
  address: 0x44,
  measurements: [
    {
      ...{ write: [0x24, 0x00], delay: '2 ms', read: 6, crc: 'each_word' },
      values: [{ metric: 'raw', byte: 0, type: 'uint16' }],
    },
  ],
};

async function plugAll(bus: ChipBus): Promise<void> {
  await bus.chip('40', 'w', 2, 'ff385dc0');
  await bus.chip('20', 'b', 0x14, 'a2010203');
  await bus.chip('44', 'c', ANSWERS_AT, 'beef92000081');
}

const ALL_READ = {
  supply: '{"voltage":12,"shunt":-2}',
  relays: '{"pump":false,"fan":true,"count":66051}',
  climate: '{"raw":48879}',
};

test('registers, commands with a pause, and writes through i2ctransfer', async (t) => {
  if (!hasTools(t)) return;
  const { bus, bridge, session } = await begin(t, [SUPPLY, RELAYS, CLIMATE]);
  await plugAll(bus);
  session.begin(bridge);
  for (const [device, values] of Object.entries(ALL_READ))
    await until(device, () => lastOf(session, device) === values);
  assert.equal(await bus.bytesOf('40', 0, 2), '399f', 'init was written');
  assert.equal(await bus.bytesOf('44', 0, 2), '2400', 'the command was written');
  const order = { id: 'c', device: 'relays', name: 'pump', payload: Buffer.from('true') };
  const done = await bridge.commands.carryOut(order, () => {}, AbortSignal.timeout(5_000));
  assert.deepEqual(done, { state: 'done' });
  assert.equal(await bus.bytesOf('20', 0x14, 4), 'a3010203', 'only its bit has changed');
  await bus.machine.unmark('44');
  await until('it is told', () => /climate \(0x44.*acknowledge/.test(session.detail ?? ''));
  await bus.machine.mark('40.busy');
  await bus.machine.bind('40', 'ina2xx');
  await until('the driver is named', () => /the driver `ina2xx`/.test(session.detail ?? ''));
  assert.doesNotMatch(session.detail ?? '', /relays/);
});

test('an adapter that speaks only SMBus: what it can, and what it cannot', async (t) => {
  if (!hasTools(t)) return;
  const { bus, bridge, session } = await begin(t, [SUPPLY, RELAYS, CLIMATE]);
  await plugAll(bus);
  await bus.machine.mark('smbus');
  session.begin(bridge);
  for (const device of ['supply', 'relays'] as const)
    await until(device, () => lastOf(session, device) === ALL_READ[device]);
  assert.equal(await bus.bytesOf('40', 0, 2), '399f', 'init was written');
  await until('it is told', () => /climate .*only SMBus/.test(session.detail ?? ''));
  const order = { id: 'c', device: 'supply', name: 'voltage', payload: Buffer.from('16') };
  const done = await bridge.commands.carryOut(order, () => {}, AbortSignal.timeout(5_000));
  assert.deepEqual(done, { state: 'done' });
  assert.equal(await bus.bytesOf('40', 4, 2), '7d00');
});

test('a bus that is stuck is given up in time, leaves no program behind, and comes back', async (t) => {
  if (!hasTools(t)) return;
  const { bus, bridge, session } = await begin(t, [SUPPLY]);
  await plugAll(bus);
  session.begin(bridge);
  await until('a reading', () => lastOf(session, 'supply') === ALL_READ.supply);
  await bus.machine.mark('stuck');
  await assert.rejects(session.ended, /supply \(0x40 on i2c-7\): no end of the transfer in 500 ms/);
  const left = spawnSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' }).stdout;
  assert.doesNotMatch(left, /i2ctransfer -y 7 .*@0x40/);
  await bus.machine.unmark('stuck');
  const again = new BridgeSession();
  afterTest(t, () => again.stop());
  again.begin(bridge);
  await until('a reading again', () => lastOf(again, 'supply') === ALL_READ.supply);
});
