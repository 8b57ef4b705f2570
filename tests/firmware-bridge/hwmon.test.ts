import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { HWMON } from '../../firmware-bridge/hwmon/kind.ts';
import { hwmonSpec } from '../../firmware-bridge/hwmon/spec.ts';
import { ChipBridge } from '../../firmware-bridge/sampling/chip/chip-bridge.ts';
import { examineChips } from '../../firmware-bridge/sampling/chip/examine-chips.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { parsed, problemsOf } from '../config/problems-of.ts';
import { bridgeContract } from '../contract/bridge.ts';
import { afterTest } from '../support/after-test.ts';
import { BridgeSession } from '../support/bridge-session.ts';
import { ROOT } from '../support/repository.ts';
import { beginOn, SysTree } from '../support/sys-tree.ts';
import { until } from '../support/until.ts';

// a busy machine takes tenths of a second for a file
const QUICK = { interval: '20 ms', timeout: '500 ms' };
const LOOK_EVERY_MS = 30;
const LM75 = 'devices/i2c-1/1-0048/hwmon/hwmon0';
const BOARD = 'devices/platform/board.0/hwmon/hwmon1';

/** As Linux shows them: the attributes are in the folder of the class, below that of the chip. */
async function board(): Promise<SysTree> {
  const tree = await SysTree.create();
  await tree.files(LM75, { name: 'lm75\n', temp1_input: '23125\n', temp1_max: '80000\n' });
  await tree.link('class/hwmon/hwmon0', LM75);
  await tree.files(BOARD, {
    ...{ name: 'nct6775\n', in0_input: '872\n', in0_alarm: '1\n', in1_input: '12048\n' },
    ...{ fan1_input: '1205\n', fan1_alarm: '0\n', curr1_input: '-1500\n', pwm1: '128\n' },
    ...{ power1_average: '3250000\n', energy1_input: '5000000\n', humidity1_input: '45500\n' },
    ...{ temp2_input: '41500\n', temp2_label: 'SYSTIN\n', temp2_max_alarm: '0\n' },
    ...{ temp3_input: '127000\n', temp3_fault: '1\n', intrusion0_alarm: '0\n', alarms: '3\n' },
    freq1_input: '300000000\n',
  });
  await tree.link('class/hwmon/hwmon1', BOARD);
  return tree;
}

const bridgeOn = (tree: SysTree, options: object = {}) =>
  new ChipBridge(HWMON, hwmonSpec.options.parse({ ...QUICK, ...options }), tree, LOOK_EVERY_MS);

async function begin(t: TestContext, options: object = {}) {
  const tree = await board();
  const session = beginOn(t, tree, bridgeOn(tree, options));
  return { tree, session, of: (topic: string) => session.values(topic) };
}

bridgeContract('hwmon', {
  start: async () => {
    const tree = await board();
    return {
      bridge: bridgeOn(tree),
      loseHardware: () => tree.remove('class'),
      stop: () => tree[Symbol.asyncDispose](),
    };
  },
  periodMs: 30,
  hasHardware: true,
  unacceptedMax: 1,
});

test('everything that a chip measures is read in the units of people', async (t) => {
  const { session, of } = await begin(t);
  await until(
    'both',
    () => of('hwmon/nct6775-board-0').length > 0 && of('hwmon/lm75-1-0048').length > 0,
  );
  assert.deepEqual(of('hwmon/lm75-1-0048')[0], { temperature1: 23.125 });
  assert.deepEqual(of('hwmon/nct6775-board-0')[0], {
    ...{ voltage0: 0.872, voltage0_alarm: true, voltage1: 12.048, fan1: 1205, fan1_alarm: false },
    ...{ current1: -1.5, power1: 3.25, energy1: 5, humidity1: 45.5, temperature2: 41.5 },
    ...{ temperature2_max_alarm: false, intrusion0_alarm: false, frequency1: 300_000_000 },
  });
  await until('it is told', () =>
    /temp3: temp3_fault says that it cannot be trusted/.test(session.detail ?? ''),
  );
});

test('channels are chosen by the name of the kernel or by their label', async (t) => {
  const channels = [
    { channel: 'SYSTIN', unit: '°C' },
    { channel: 'in1', metric: 'supply', scale: 2 },
  ];
  const chips = [{ name: 'nct6775', device: 'board', channels }];
  const { of } = await begin(t, { chips });
  await until('a message', () => of('hwmon/board').length > 0);
  assert.deepEqual(of('hwmon/board')[0], { systin: 41.5, supply: 24.096 });
});

test('a chip that is unplugged is named, and its gap is told when it is back', async (t) => {
  const { tree, session, of } = await begin(t);
  await until('a message', () => of('hwmon/lm75-1-0048').length > 0);
  await tree.remove(LM75);
  await until('it is told', () =>
    /^1 of 2 cannot be read; lm75-1-0048 \(lm75 at 1-0048\)/.test(session.detail ?? ''),
  );
  await tree.files(LM75, { name: 'lm75\n', temp1_input: '24000\n' });
  await until('the gap', () => of('holdfast/bridge/bridge-1').length === 1);
  await until('it is read', () => of('hwmon/lm75-1-0048').at(-1)?.temperature1 === 24);
});

test('a chip that measures nothing is nobody to be missed', async (t) => {
  const { tree, session, of } = await begin(t);
  const fan = 'devices/platform/cooling_fan/hwmon/hwmon2';
  await tree.files(fan, { name: 'pwmfan\n', pwm1: '99\n' });
  await tree.link('class/hwmon/hwmon2', fan);
  await tree.files(fan.replace('hwmon2', 'hwmon3'), { name: 'tmp102\n', temp1_input: '20000\n' });
  await tree.link('class/hwmon/hwmon3', fan.replace('hwmon2', 'hwmon3'));
  await until('a later chip', () => of('hwmon/tmp102-cooling_fan').length > 0);
  assert.doesNotMatch(session.detail ?? '', /pwmfan/);
  const look = () =>
    examineChips(HWMON, hwmonSpec.options.parse({}), new AbortController().signal, tree);
  assert.match(
    (await look())[0]?.detail ?? '',
    /^reads lm75 at 1-0048, nct6775 .*, tmp102 at \S+$/,
  );
  for (const number of [0, 1, 3]) await tree.remove(`class/hwmon/hwmon${number}`);
  const [nothing] = await look();
  assert.equal(nothing?.severity, 'problem');
  const lost = await new BridgeSession().run(bridgeOn(tree)).catch((error: unknown) => error);
  assert.match(
    String(lost),
    /none of the chips of hwmon measures anything \(pwmfan at cooling_fan\): check/,
  );
});

test('doctor names the chips, their channels, and what is missing', async (t) => {
  const tree = await board();
  afterTest(t, () => tree[Symbol.asyncDispose]());
  const chips = [{ name: 'lm75', device: 'a', channels: [{ channel: 'temp2' }] }];
  const options = hwmonSpec.options.parse({ chips });
  const findings = await examineChips(HWMON, options, new AbortController().signal, tree);
  assert.deepEqual(
    findings.map(({ severity, detail, remedy }) => `${severity}: ${detail} ${remedy ?? ''}`.trim()),
    [
      'ok: lm75 at 1-0048 has temp1',
      'problem: lm75 at 1-0048 has no channel `temp2` Correct `channel`: it has temp1.',
    ],
  );
});

test('the example of the README is valid, and its metrics have units', () => {
  const readme = readFileSync(join(ROOT, 'firmware-bridge/hwmon/README.md'), 'utf8');
  const example = `hub: { id: h }\n${/```yaml\n(.*?)```/s.exec(readme)?.[1] ?? ''}`;
  assert.deepEqual(problemsOf(example), []);
  assert.equal(parsed(example).bridges.length, 1);
  const channels = [{ channel: 'temp1', metric: 'temperature' }];
  const options = hwmonSpec.options.parse({ chips: [{ name: 'lm75', device: 'a', channels }] });
  const { readings } = createDecoder(hwmonSpec.decode(options))({
    ...{ lane: 'normal', offset: 0, kind: 'message', source: 'bridge:x', bootId: 'b' },
    ...{ topic: 'hwmon/a', payload: Buffer.from('{"temperature":21.44,"fan2":50,"current1":1}') },
    ...{ receivedMs: Date.now(), timeQuality: 'synced', monotonicMs: 1 },
  });
  assert.deepEqual(
    readings.map(({ device, metric, unit }) => `${device} ${metric} ${unit}`),
    ['a temperature °C', 'a fan2 rpm', 'a current1 A'],
  );
});
