/**
 * GPIO through the real character device and through sysfs. Two chips, of which the first one is a
 * foreign one: the header's is found by its label, and its lines have another base than 0.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { afterTest } from '../../support/after-test.ts';
import { OutputTrace, SimulatedChip } from './gpio-sim.ts';
import { found, type GuestHub, guestHub } from './hub.ts';
import { sendEdges } from './pulses.ts';

const EDGES_PER_SECOND = 1_000;
const EDGES = 10_000;
const SYSFS_EDGES = 20;

/** Offsets on the chip of the header. */
const CDEV = { door: 17, bell: 27, meter: 23, fan: 24, pump: 26, busy: 5 };
const SYSFS = { door: 6, meter: 13, pump: 19 };

const BRIDGES = [
  `
id: cdev
type: gpio
backend: cdev
lines:
  - { line: 17, device: door, metric: open, mode: state, bias: pull_down }
  - { line: GPIO27, device: bell, metric: pressed, mode: edges, bias: pull_down }
  - line: pin 16
    device: meter
    metric: energy
    mode: counter
    edge: both
    bias: pull_down
    interval: 1 s
  - { line: 24, device: fan, metric: frequency, mode: frequency, bias: pull_down, interval: 1 s }
  - { line: 26, device: pump, metric: running, mode: output, safe: false }
  - { line: 5, device: busy, metric: level, mode: state }
`,
  `
id: sysfs
type: gpio
backend: sysfs
topic: sysfs/{device}
lines:
  - { line: 6, device: door2, metric: open, mode: state }
  - { line: 13, device: meter2, metric: energy, mode: counter, edge: both, interval: 100 ms }
  - { line: 19, device: pump2, metric: running, mode: output, safe: false }
`,
];

interface Rig {
  readonly hub: GuestHub;
  readonly chip: SimulatedChip;
}

const values = (hub: GuestHub, subject: string, metric: string): unknown[] =>
  hub
    .about(subject)
    .map(({ data }) => data[metric])
    .filter((value) => value !== undefined);

async function states({ hub, chip }: Rig, subject: string, line: number): Promise<void> {
  const isAt = async (open: boolean) => {
    chip.pull(line, open);
    await found(
      `${subject} ${open}`,
      () => values(hub, subject, 'open').at(-1) === open || undefined,
    );
  };
  await isAt(true);
  await isAt(false);
  await isAt(true);
  assert.deepEqual(values(hub, subject, 'open').slice(-3), [true, false, true]);
}

/** Each edge with the time that the kernel gave it: in order, as far apart as they were sent. */
async function edges(t: TestContext, { hub, chip }: Rig): Promise<void> {
  const sent = await sendEdges(chip.pullFile(CDEV.bell), 50, 50);
  const messages = await found('50 edges', () => {
    const all = hub.about('gpio/bell');
    return all.length >= 50 ? all : undefined;
  });
  const levels = messages.map(({ data }) => data['pressed']);
  assert.deepEqual(
    levels,
    Array.from({ length: 50 }, (_, index) => index % 2 === 0),
  );
  // while nothing says that the clock is right, an edge comes with its age in place of a date
  const times = messages.map(({ data, time }) =>
    Number(data['time'] ?? Date.parse(time) - Number(data['age_ms'] ?? 0)),
  );
  t.diagnostic(`an edge: ${JSON.stringify(messages[0]?.data)}`);
  assert.deepEqual(
    times.toSorted((a, b) => a - b),
    times,
    'in order',
  );
  const spanMs = (times.at(-1) ?? 0) - (times[0] ?? 0);
  t.diagnostic(`50 edges sent in ${sent.tookMs.toFixed(0)} ms, ${spanMs} ms apart by their times`);
  assert.ok(Math.abs(spanMs - sent.tookMs) < sent.tookMs / 4);
}

/** Answers the total when every edge has arrived. */
async function counted({ hub }: Rig, subject: string, wanted: number): Promise<void> {
  const total = () => Number(values(hub, subject, 'energy').at(-1) ?? 0);
  await found(`a total of ${wanted}`, () => total() >= wanted || undefined).catch((cause) => {
    throw new Error(`${subject} is at ${total()} in place of ${wanted}`, { cause });
  });
  assert.equal(total(), wanted);
}

async function count(t: TestContext, rig: Rig): Promise<void> {
  const sent = await sendEdges(rig.chip.pullFile(CDEV.meter), EDGES, EDGES_PER_SECOND);
  await counted(rig, 'gpio/meter', EDGES);
  const perSecond = (EDGES / sent.tookMs) * 1000;
  t.diagnostic(
    `${EDGES} edges at ${perSecond.toFixed(0)} a second through the character device: all counted ` +
      `(longest pause ${sent.longestPauseMs.toFixed(0)} ms)`,
  );
}

/** An edge is sent when the one before has been counted: here two merge when nobody looks. */
async function countSysfs(rig: Rig, from: number, to: number): Promise<void> {
  for (let total = from + 1; total <= to; total++) {
    rig.chip.pull(SYSFS.meter, total % 2 === 1);
    await counted(rig, 'sysfs/meter2', total);
  }
}

async function frequency(t: TestContext, { hub, chip }: Rig): Promise<void> {
  const before = hub.about('gpio/fan').length;
  const sent = await sendEdges(chip.pullFile(CDEV.fan), 300, 100);
  const wanted = (sent.edges / 2 / sent.tookMs) * 1000;
  const told = () => values(hub, 'gpio/fan', 'frequency').slice(before).map(Number);
  const isIt = (hertz: number) => Math.abs(hertz - wanted) < wanted * 0.1;
  await found(`a frequency of ${wanted.toFixed(2)} Hz`, () => told().some(isIt) || undefined).catch(
    (cause) => {
      throw new Error(`told: ${told().join(', ')}`, { cause });
    },
  );
  t.diagnostic(`${wanted.toFixed(2)} Hz sent, told: ${told().join(', ')}`);
}

async function outputs(t: TestContext, { hub, chip }: Rig): Promise<void> {
  for (const [device, line] of [
    ['pump', CDEV.pump],
    ['pump2', SYSFS.pump],
  ] as const) {
    for (const value of [true, false, true]) {
      const command = await hub.command(device, 'set', { metric: 'running', value });
      assert.equal(command.state, 'done', JSON.stringify(command));
      assert.equal(chip.value(line), value, `${device} is not ${value} on the line`);
    }
    t.diagnostic(`${device}: set true, false, true, and the line followed`);
  }
}

async function busyLine(t: TestContext, { hub }: Rig): Promise<void> {
  const [bridge] = await hub.bridges();
  t.diagnostic(`a line of somebody else: ${bridge?.detail}`);
  assert.equal(bridge?.state, 'reading');
  assert.match(bridge?.detail ?? '', /kettle/);
}

const consumers = (): string =>
  execFileSync('gpioinfo', { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes('consumer=') && !line.includes('kettle'))
    .join('\n');

/** What was told before is there after; edges in between are not counted, those after are. */
async function killed(t: TestContext, rig: Rig): Promise<void> {
  const { hub, chip } = rig;
  await hub.process.kill('SIGKILL');
  const startMs = performance.now();
  await found('free lines', () => (consumers().includes('holdfast') ? undefined : true)).catch(
    (cause) => {
      throw new Error(`held after the death of the hub:\n${consumers()}`, { cause });
    },
  );
  t.diagnostic(
    `its programs let go of the lines ${Math.round(performance.now() - startMs)} ms later`,
  );
  await sendEdges(chip.pullFile(CDEV.meter), 10, 100);
  await hub.start(t);
  await sendEdges(chip.pullFile(CDEV.meter), 100, 100);
  await counted(rig, 'gpio/meter', EDGES + 100);
  await countSysfs(rig, SYSFS_EDGES, SYSFS_EDGES + 4);
}

/** The kernel notes each value that an output is given. */
async function stopped(t: TestContext, rig: Rig): Promise<void> {
  const { hub } = rig;
  for (const device of ['pump', 'pump2']) {
    const command = await hub.command(device, 'set', { metric: 'running', value: true });
    assert.equal(command.state, 'done', JSON.stringify(command));
  }
  const trace = new OutputTrace();
  const startMs = performance.now();
  await hub.process.kill('SIGTERM');
  t.diagnostic(`stopped in ${Math.round(performance.now() - startMs)} ms`);
  for (const line of [CDEV.pump, SYSFS.pump])
    assert.equal(trace.last(rig.chip.base + line), false, `line ${line}:\n${trace.text}`);
  assert.equal(consumers(), '', 'nothing is held');
}

test('GPIO', async (t) => {
  new SimulatedChip({ name: 'foreign', label: 'foreign-bank', lines: 8 });
  const names = { [CDEV.bell]: 'GPIO27' };
  const chip = new SimulatedChip({ name: 'header', label: 'pinctrl-bcm2711', lines: 58, names });
  for (const line of [...Object.values(CDEV), ...Object.values(SYSFS)]) chip.pull(line, false);
  const kettle = spawn('gpioset', ['-C', 'kettle', '-c', chip.device, `${CDEV.busy}=1`]);
  afterTest(t, () => kettle.kill('SIGKILL'));
  await found('a kettle', () => chip.value(CDEV.busy) || undefined);
  const hub = await guestHub(t, BRIDGES);
  const rig = { hub, chip };
  await hub.start(t);
  for (const { id, detail } of await hub.bridges()) t.diagnostic(`${id}: ${detail}`);
  await t.test('a line of somebody else is named, the others go on', (inner) =>
    busyLine(inner, rig),
  );
  await t.test('cdev: a state follows its line', () => states(rig, 'gpio/door', CDEV.door));
  await t.test('sysfs: a state follows its line', () => states(rig, 'sysfs/door2', SYSFS.door));
  await t.test('cdev: edges in order, with their times', (inner) => edges(inner, rig));
  await t.test('cdev: 1,000 edges a second, none lost', (inner) => count(inner, rig));
  await t.test('sysfs: edges are counted', () => countSysfs(rig, 0, SYSFS_EDGES));
  await t.test('cdev: a frequency', (inner) => frequency(inner, rig));
  await t.test('cdev, sysfs: commands set outputs', (inner) => outputs(inner, rig));
  await t.test('killed: lines are free, counters go on', () => killed(t, rig));
  await t.test('stopped: outputs are safe before they are let go', (inner) => stopped(inner, rig));
});
