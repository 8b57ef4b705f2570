/**
 * The bridge with programs that print what gpiod prints. With the real ones, and a real kernel:
 * tests/pi-vm/gpio.test.ts.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { z } from 'zod';
import { examine } from '../../firmware-bridge/gpio/examine.ts';
import { GpioBridge } from '../../firmware-bridge/gpio/gpio.ts';
import { gpioSpec } from '../../firmware-bridge/gpio/spec.ts';
import { systemClock } from '../../hub/clock/system-clock.ts';
import type { BridgeContext } from '../../hub/core/bridge.ts';
import { bridgeContract } from '../contract/bridge.ts';
import { afterTest } from '../support/after-test.ts';
import { GpiodStandIn } from '../support/gpiod-stand-in.ts';
import { until } from '../support/until.ts';

const PERIOD_MS = 20;

bridgeContract('gpio', {
  start: async () => {
    const gpiod = new GpiodStandIn();
    const options = gpioSpec.options.parse({
      lines: [{ line: 17, device: 'd', metric: 'open', mode: 'state', interval: '100 ms' }],
    });
    const timer = setInterval(() => gpiod.edges(17, true, false), PERIOD_MS);
    return {
      bridge: new GpioBridge(options, gpiod.surroundings),
      loseHardware: async () => gpiod.unplug(),
      stop: async () => {
        clearInterval(timer);
        gpiod.stop();
      },
    };
  },
  periodMs: PERIOD_MS,
  hasHardware: true,
  unacceptedMax: 1,
});

const json = z.record(z.string(), z.union([z.number(), z.string(), z.boolean()]));

class GpioSession {
  readonly gpiod = new GpiodStandIn();
  readonly messages: { topic: string; values: z.output<typeof json> }[] = [];
  readonly losses: string[] = [];
  readonly state = new Map<string, unknown>();
  detail: string | undefined;
  gate: () => Promise<void> = async () => {};
  bridge: GpioBridge;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  readonly #options: object;

  constructor(t: TestContext, lines: readonly object[], more: object = {}) {
    this.#options = { lines, ...more };
    this.bridge = this.#bridge();
    afterTest(t, async () => {
      await this.stop();
      this.gpiod.stop();
    });
  }

  start(): void {
    this.bridge = this.#bridge();
    this.#stop = new AbortController();
    this.#running = this.#run(this.#stop.signal);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  of(metric: string): unknown[] {
    return this.messages.flatMap(({ values }) => values[metric] ?? []);
  }

  reports() {
    return this.messages.filter(({ topic }) => topic === 'holdfast/bridge/pins');
  }

  command(name: string, data: string) {
    const order = { id: 'c', device: 'd', name, payload: Buffer.from(data) };
    assert.ok(this.bridge.commands);
    return this.bridge.commands.carryOut(order, () => {}, AbortSignal.timeout(10_000));
  }

  #bridge(): GpioBridge {
    return new GpioBridge(gpioSpec.options.parse(this.#options), this.gpiod.surroundings);
  }

  async #run(signal: AbortSignal): Promise<void> {
    const context: BridgeContext = {
      id: 'pins',
      clock: systemClock(() => ({ state: 'synced' })),
      random: Math.random,
      logger: pino({ level: 'silent' }),
      connected: () => {},
      describe: (detail) => {
        this.detail = detail;
      },
      badFrames: () => {},
      loadState: async () => new Map(this.state),
      accept: async ({ topic, payload }, state = []) => {
        this.messages.push({ topic, values: json.parse(JSON.parse(payload.toString())) });
        await this.gate();
        for (const { key, value } of state) this.state.set(key, value);
      },
    };
    while (!signal.aborted) {
      try {
        await this.bridge.run(context, signal);
      } catch (error) {
        this.losses.push(String(error));
        await delay(50);
      }
    }
  }
}

const STATE = { line: 17, device: 'd', metric: 'open', mode: 'state' };
const COUNTER = { line: 27, device: 'd', metric: 'n', mode: 'counter', interval: '100 ms' };
const OUTPUT = { line: 26, device: 'd', metric: 'on', mode: 'output' };

test('a level is told at the start and at each change, with the time of the kernel', async (t) => {
  const session = new GpioSession(t, [{ ...STATE, bias: 'pull_up', active_low: true }]);
  session.gpiod.write('level-17', '1');
  session.start();
  await until('the first', () => session.of('open').length === 1);
  session.gpiod.edges(17, false);
  await until('the change', () => session.of('open').length === 2);
  assert.deepEqual(session.of('open'), [true, false]);
  const [, changed] = session.messages;
  assert.ok(Math.abs(Number(changed?.values['time']) - Date.now()) < 5_000);
  assert.match(session.detail ?? '', /gpiochip0 \[pinctrl-bcm2711\] by gpiod 2\.2\.1 .*are there/);
  const call = session.gpiod.lines('calls').find((line) => line.startsWith('gpiomon'));
  assert.match(
    call ?? '',
    /-c gpiochip0 -C holdfast-[0-9a-f]{8} -b pull-up -l -e both -E monotonic .* 17$/,
  );
});

test('lines with the same settings have one gpiomon, others their own', async (t) => {
  const second = { ...STATE, line: 22, metric: 'closed' };
  const third = { ...STATE, line: 'DOOR', metric: 'door', debounce: '5 ms' };
  const session = new GpioSession(t, [STATE, second, third]);
  session.start();
  await until('all three', () => session.messages.length >= 3);
  const calls = session.gpiod.lines('calls').filter((line) => line.startsWith('gpiomon'));
  assert.deepEqual(calls.map((call) => / --banner (.*)$/.exec(call)?.[1]).sort(), [
    '-p 5ms 4',
    '17 22',
  ]);
});

test('a total survives restarts and a log that was full, and counts each pulse once', async (t) => {
  const session = new GpioSession(t, [COUNTER]);
  session.start();
  await until('it begins', () => session.of('n').length > 0);
  let open = () => {};
  const full = new Promise<void>((resolve) => (open = resolve));
  for (let i = 0; i < 50; i++) {
    session.gpiod.edges(27, ...Array(20).fill(true));
    if (i === 10) session.gate = () => full;
    await delay(5);
  }
  open();
  await until('all of them', () => session.state.get('n/d/n') === 1_000);
  session.gate = () => new Promise(() => {});
  session.gpiod.edges(27, true, true);
  await until('a message that is never durable', () => session.of('n').at(-1) === 1_002);
  await session.stop();
  session.gate = async () => {};
  session.start();
  await until('it goes on from what is durable', () => session.of('n').at(-1) === 1_000);
  session.gpiod.edges(27, true, true, true);
  await until('three more', () => session.of('n').at(-1) === 1_003);
  const totals = session.of('n').map(Number);
  const back = totals.filter((total, i) => total < (totals[i - 1] ?? 0));
  assert.deepEqual(back, [1_000], 'only to what was durable');
});

test('a total goes on when the line was away, and tells one message into a full log', async (t) => {
  const session = new GpioSession(t, [COUNTER]);
  session.start();
  await until('it begins', () => session.of('n').length > 0);
  session.gpiod.edges(27, true, true);
  await until('two', () => session.state.get('n/d/n') === 2);
  let open = () => {};
  const full = new Promise<void>((resolve) => (open = resolve));
  session.gate = () => full;
  const { length } = session.messages;
  await until('one waits', () => session.messages.length === length + 1);
  for (const losses of [1, 2]) {
    session.gpiod.endPrograms();
    await until('the loss', () => session.losses.length === losses);
    await until('it watches again', () => !/ lines are not there/.test(session.detail ?? ''));
    await delay(300);
  }
  assert.deepEqual(session.of('n').slice(length + 1), []);
  open();
  session.gpiod.edges(27, true);
  await until('three', () => session.state.get('n/d/n') === 3);
});

test('a stop writes the pulses that no message has told', async (t) => {
  const mark = { line: 22, device: 'd', metric: 'mark', mode: 'edges', edge: 'rising' };
  const session = new GpioSession(t, [{ ...COUNTER, interval: '1 h' }, mark]);
  session.start();
  await until('it watches', () => /are there/.test(session.detail ?? ''));
  session.gpiod.edges(27, true, true);
  session.gpiod.edges(22, true);
  await until('the edge after them', () => session.of('mark').length === 1);
  await session.stop();
  assert.equal(session.state.get('n/d/n'), 2);
  assert.deepEqual(session.of('n'), [2]);
});

test('a stop counts the edges that are still in the pipe', async (t) => {
  const session = new GpioSession(t, [{ ...COUNTER, interval: '1 h' }]);
  session.gpiod.lastEdges(27, true, true);
  session.start();
  await until('it watches', () => /are there/.test(session.detail ?? ''));
  await session.stop();
  assert.equal(session.state.get('n/d/n'), 6);
});

test('pulses that the kernel counted and could not hand over are counted', async (t) => {
  const session = new GpioSession(t, [COUNTER]);
  const row = (count: number) =>
    `  CPU0  CPU1\n 55:  ${count}  2  pinctrl-bcm2835  27 Edge      CONSUMER\n`;
  session.gpiod.interrupts = row(10);
  session.start();
  await until('it begins', () => session.of('n').length > 0);
  session.gpiod.edges(27, true, true);
  await until('two', () => session.of('n').at(-1) === 2);
  session.gpiod.interrupts = row(17);
  await until('seven', () => session.of('n').at(-1) === 7);
});

test('edges that wait for a full log are all told; too many are counted as lost', async (t) => {
  const edges = { ...STATE, metric: 'edge', mode: 'edges', edge: 'rising' };
  const session = new GpioSession(t, [edges]);
  session.start();
  await until('it watches', () => /are there/.test(session.detail ?? ''));
  let open = () => {};
  const full = new Promise<void>((resolve) => (open = resolve));
  session.gate = () => full;
  const sent = 10_500;
  for (let i = 0; i < sent; i += 500) session.gpiod.edges(17, ...Array(500).fill(true));
  await until('64 are under way', () => session.messages.length === 64);
  await delay(1_000); // for all to arrive
  assert.equal(session.messages.length, 64);
  open();
  await until('the report', () => session.reports().length === 1);
  const lost = Number(session.reports()[0]?.values['lostEdges']);
  assert.equal(session.of('edge').length + lost, sent);
  assert.equal(lost, sent - 64 - 10_000);
});

test('an output is set by commands, pulsed, and left in its safe state', async (t) => {
  const session = new GpioSession(t, [{ ...OUTPUT, safe: true }]);
  session.start();
  await until('it is held', () => session.of('on').length === 1);
  const answers = [];
  for (const [name, data] of [
    ['set', 'true'],
    ['toggle', ''],
    ['pulse', '{"durationMs":50}'],
  ] as const) {
    const outcome = await session.command(name, data);
    answers.push(outcome.state === 'done' ? String(outcome.answer) : outcome);
  }
  assert.deepEqual(answers, ['{"on":true}', '{"on":false}', '{"on":true}']);
  await until('the end of the pulse', () => session.of('on').length === 5);
  assert.deepEqual(session.of('on'), [false, true, false, true, false]);
  await session.stop();
  assert.deepEqual(session.gpiod.lines('set'), ['26=0', '26=1', '26=0', '26=1', '26=0', '26=1']);
  assert.match(session.gpiod.lines('calls').at(-1) ?? '', /^gpioset .*-t 0 .*26=1$/);
});

test('an output that was taken away comes back as it was, and the gap is told', async (t) => {
  const session = new GpioSession(t, [OUTPUT, STATE]);
  session.start();
  await until('it is held', () => session.of('on').length === 1);
  await session.command('set', 'on');
  session.gpiod.write('refuse-26', 'unable to request lines: Device or resource busy');
  session.gpiod.write('info', '\tline  26:\tunnamed         \toutput consumer=spi0 CS0\n');
  session.gpiod.endPrograms();
  await until('it is named', () =>
    /GPIO26 \(pin 37\) of gpiochip0.* is held by "spi0 CS0"/.test(session.detail ?? ''),
  );
  const refused = await session.command('set', 'off');
  assert.match(JSON.stringify(refused), /failed.*not set: .*held by/);
  session.gpiod.remove('refuse-26');
  await until('the gap', () => session.reports().some(({ values }) => values['metric'] === 'on'));
  assert.equal(session.gpiod.lines('set').at(-1), '26=1');
});

test('one line that is held by another does not cost the others', async (t) => {
  const session = new GpioSession(t, [STATE, { ...STATE, line: 22, metric: 'other' }]);
  session.gpiod.write('refuse-22', 'unable to request lines: Device or resource busy');
  session.start();
  await until('the good one', () => session.of('open').length === 1);
  await until('the bad one is named', () => /1 of 2 lines.*GPIO22/.test(session.detail ?? ''));
  assert.deepEqual(session.of('other'), []);
});

test('errors name what is wrong and what to do', async (t) => {
  const cases: readonly (readonly [(gpiod: GpiodStandIn) => void, RegExp])[] = [
    [(gpiod) => gpiod.write('version', 'gpiodetect (libgpiod) v1.6.3\n'), /gpiod 1\.6\.3 is inst/],
    [(gpiod) => gpiod.remove('gpiodetect'), /gpiod is missing: `sudo apt install gpiod`/],
    [(gpiod) => gpiod.write('chips', 'gpiochip0 [ft232h] (16 lines)\n'), /there is gpiochip0 \[ft/],
    [(gpiod) => gpiod.remove('dev/gpiochip0'), /there is no .*gpiochip0: this machine has no GPIO/],
    [
      (gpiod) => gpiod.write('refuse-gpiomon', 'unable to open chip: Permission denied'),
      /gpiochip0 \[pinctrl-bcm2711\] may not be opened.*usermod -aG gpio/,
    ],
    [
      (gpiod) => gpiod.write('refuse-gpiodetect', 'unable to open chip: Permission denied'),
      /Permission denied/,
    ],
  ];
  for (const [spoil, pattern] of cases) {
    const session = new GpioSession(t, [STATE], { backend: 'cdev' });
    spoil(session.gpiod);
    session.start();
    await until('the loss', () => session.losses.length > 0);
    assert.match(session.losses[0] ?? '', pattern);
    await session.stop();
  }
});

test('doctor says which way is taken, and which lines are held by others', async (t) => {
  const { gpiod } = new GpioSession(t, [STATE]);
  gpiod.write(
    'info',
    '\tline   4:\t"DOOR"          \tinput\n\tline  17:\t"GPIO17"\toutput consumer="heater"\n',
  );
  const options = gpioSpec.options.parse({
    lines: [STATE, { ...STATE, line: 'DOOR', metric: 'door' }],
  });
  const findings = await examine(options, AbortSignal.timeout(10_000), gpiod.surroundings);
  assert.deepEqual(
    findings.map(({ severity }) => severity),
    ['ok', 'problem'],
  );
  assert.match(findings[0]?.detail ?? '', /gpiod 2\.2\.1.*1 of 2 lines/);
  assert.match(findings[1]?.detail ?? '', /GPIO17 \(pin 11\).*held by "heater"/);
  gpiod.remove('gpiodetect');
  const [missing] = await examine(options, AbortSignal.timeout(10_000), gpiod.surroundings);
  assert.match(
    `${missing?.detail}: ${missing?.remedy}`,
    /gpiod is missing.*for sysfs this kernel has no/,
  );
});
