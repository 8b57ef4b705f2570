/** The parts of the gpio bridge that need no hardware. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import {
  chipIn,
  edgeIn,
  levelsIn,
  lineInfoIn,
  troubleIn,
  versionIn,
} from '../../firmware-bridge/gpio/cdev/gpiod-output.ts';
import { Interrupts, interruptsIn } from '../../firmware-bridge/gpio/cdev/interrupts.ts';
import { distanceFromKernelMs } from '../../firmware-bridge/gpio/cdev/kernel-clock.ts';
import { parseCommand } from '../../firmware-bridge/gpio/command.ts';
import { headerPin, pinOfBcm } from '../../firmware-bridge/gpio/header-pins.ts';
import { describeLine, keyOfLine, parseLine } from '../../firmware-bridge/gpio/line-name.ts';
import { CounterReader } from '../../firmware-bridge/gpio/lines/counter-reader.ts';
import { Debouncer } from '../../firmware-bridge/gpio/lines/debouncer.ts';
import { EventClock } from '../../firmware-bridge/gpio/lines/event-clock.ts';
import { type KernelCount, PulseTally } from '../../firmware-bridge/gpio/lines/pulse-tally.ts';
import { PulseTimer } from '../../firmware-bridge/gpio/lines/pulse-timer.ts';
import { gpioSpec } from '../../firmware-bridge/gpio/spec.ts';
import { SysfsBackend } from '../../firmware-bridge/gpio/sysfs/sysfs.ts';
import { chooseSysfsChip, sysfsChips } from '../../firmware-bridge/gpio/sysfs/sysfs-chip.ts';
import { systemClock } from '../../hub/clock/system-clock.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { parsed, problemsOf } from '../config/problems-of.ts';
import { afterTest } from '../support/after-test.ts';
import { ROOT } from '../support/repository.ts';
import { until } from '../support/until.ts';

test('a line is found by its BCM number, its pin, or its name', () => {
  const cases = [
    [17, '#17'],
    ['17', '#17'],
    ['GPIO17', '#17'],
    ['bcm 17', '#17'],
    ['pin 11', '#17'],
    ['pin 40', '#21'],
    ['RELAY_1', 'RELAY_1'],
    ['GPIO_SHUTDOWN', 'GPIO_SHUTDOWN'],
  ] as const;
  for (const [written, key] of cases) {
    const line = parseLine(written);
    assert.equal(line.ok ? keyOfLine(line.line) : line.problem, key, String(written));
  }
  for (const [written, problem] of [
    ['pin 1', /pin 1 of the header: 3\.3 V, no GPIO/],
    ['pin 6', /ground/],
    ['pin 41', /the header has 1 to 40/],
    [5_000, /no chip has more/],
    ['--version', /no name of a line/],
    ['A=1', /no name of a line/],
  ] as const) {
    const line = parseLine(written);
    assert.match(line.ok ? 'ok' : line.problem, problem);
  }
  assert.equal(describeLine({ by: 'offset', offset: 17 }, true), 'GPIO17 (pin 11)');
  assert.equal(describeLine({ by: 'offset', offset: 17 }, false), 'line 17');
});

test('the header has 28 GPIOs, each on one pin', () => {
  const bcm = Array.from({ length: 40 }, (_, i) => headerPin(i + 1)).filter(
    (one) => typeof one === 'number',
  );
  assert.deepEqual(
    bcm.toSorted((a, b) => a - b),
    Array.from({ length: 28 }, (_, i) => i),
  );
  assert.deepEqual([2, 14, 17, 27, 26, 21].map(pinOfBcm), [3, 8, 11, 13, 37, 40]);
});

const bridge = (lines: string, more = '') =>
  `hub: { id: h }\nbridges: [{ id: g, type: gpio, ${more} lines: [${lines}] }]\n`;
const STATE = 'device: d, metric: m, mode: state';

test('what is wrong with a line is said with the configuration', () => {
  for (const [yaml, pattern] of [
    [bridge(`{ line: pin 1, ${STATE} }`), /lines\[0\]\.line.*3\.3 V, no GPIO/],
    [
      bridge(`{ line: 17, ${STATE} }, { line: pin 11, device: e, metric: x, mode: edges }`),
      /lines\[1\]\.line.*the same as lines\[0\]/,
    ],
    [bridge(`{ line: 17, ${STATE} }, { line: 18, ${STATE} }`), /`m` of d, which lines\[0\]/],
    [bridge(`{ line: pin 11, ${STATE} }`, 'chip: mcp23017,'), /none of a header/],
    [bridge(`{ line: 17, ${STATE}, bias: pull_up }`, 'backend: sysfs,'), /bias.*through sysfs/],
    [bridge(`{ line: DOOR, ${STATE} }`, 'backend: sysfs,'), /sysfs knows no names/],
    [bridge(`{ line: 17, ${STATE}, safe: true }`), /safe/],
    [bridge('{ line: 17, device: d, metric: time, mode: state }'), /where the time/],
  ] as const)
    assert.match(problemsOf(yaml).join('\n'), pattern);
});

test('the example of the README is valid', () => {
  const readme = readFileSync(join(ROOT, 'firmware-bridge/gpio/README.md'), 'utf8');
  const example = /```yaml\n(.*?)```/s.exec(readme)?.[1] ?? '';
  assert.deepEqual(problemsOf(`hub: { id: h }\n${example}`), []);
  assert.equal(parsed(`hub: { id: h }\n${example}`).bridges.length, 1);
});

test('the hub decodes the messages with device, metric and unit, without a rule', () => {
  const meter = { line: 17, device: 'meter', metric: 'energy', mode: 'counter', unit: 'kWh' };
  const decode = createDecoder(gpioSpec.decode(gpioSpec.options.parse({ lines: [meter] })));
  const receivedMs = Date.now();
  const { readings } = decode({
    ...{ lane: 'normal', offset: 0, kind: 'message', source: 'bridge:x', bootId: 'b' },
    ...{ topic: 'gpio/meter', payload: Buffer.from(`{"time":${receivedMs - 40},"energy":12.5}`) },
    ...{ receivedMs, timeQuality: 'synced', monotonicMs: 1 },
  });
  assert.deepEqual(
    readings.map(({ device, metric, value, unit, timeMs }) => [
      device,
      metric,
      value,
      unit,
      timeMs - receivedMs,
    ]),
    [['meter', 'energy', 12.5, 'kWh', -40]],
  );
});

test('what the programs of gpiod print is understood', () => {
  assert.deepEqual(versionIn('gpiodetect (libgpiod) v2.2.1\nCopyright'), {
    major: 2,
    version: '2.2.1',
  });
  assert.equal(versionIn('gpiodetect (libgpiod) v1.6.3')?.major, 1);
  assert.deepEqual(chipIn('gpiochip0 [pinctrl-rp1] (54 lines)'), {
    ...{ name: 'gpiochip0', label: 'pinctrl-rp1', lines: 54 },
  });
  assert.deepEqual(lineInfoIn('\tline  17:\t"GPIO17"        \tinput consumer="spi0 CS0"'), {
    ...{ offset: 17, name: 'GPIO17', consumer: 'spi0 CS0' },
  });
  // gpiod 2.2.1 on a kernel 7.2: without quotes where the line has no name
  assert.deepEqual(lineInfoIn('\tline   5:\tunnamed         \tinput edges=both consumer=x y'), {
    ...{ offset: 5, name: undefined, consumer: 'x y' },
  });
  assert.deepEqual(lineInfoIn('\tline   6:\tunnamed         \tinput'), {
    ...{ offset: 6, name: undefined, consumer: undefined },
  });
  assert.equal(lineInfoIn('gpiochip0 - 54 lines:'), undefined);
  const edge = edgeIn('1 22 1795.313497185');
  assert.deepEqual([edge?.isRising, edge?.offset], [true, 22]);
  assert.ok(Math.abs((edge?.kernelMs ?? 0) - 1_795_313.497185) < 1e-6);
  for (const text of ['', 'Monitoring line', '3 22 1.000000000', '1 22 1.5', '1 22'])
    assert.equal(edgeIn(text), undefined);
  assert.deepEqual(levelsIn('1 0 1\n', 3), [true, false, true]);
  assert.equal(levelsIn('1 0', 3), undefined);
  assert.equal(troubleIn('gpiomon: unable to request lines: Device or resource busy'), 'busy');
  assert.equal(troubleIn("gpiomon: cannot find line 'X'"), 'no_line');
});

test('interrupts are counted by line, over all processors', () => {
  const text = [
    '           CPU0       CPU1',
    ' 29:          3          4  pinctrl-bcm2835  17 Edge      holdfast-1',
    ' 30:       2500          0  irq_sim                 23  holdfast-1',
    ' 31:          1          0  pinctrl-bcm2835   5 Edge      holdfast-2',
    ' 32:          1          0  pinctrl-mcp      17 Edge      holdfast-3',
    ' 33:          9          9  pinctrl-bcm2835  18 Edge      gpiomon',
    'NMI:          0          0   Non-maskable interrupts',
  ].join('\n');
  const both = [
    [17, 7],
    [23, 2500],
  ];
  assert.deepEqual([...interruptsIn(text, 'holdfast-1', [23, 17])], both);
  assert.deepEqual([...interruptsIn(text, 'holdfast-2', [5])], [[5, 1]]);
  for (const others of [[17], [17, 24], [17, 23, 24]])
    assert.equal(interruptsIn(text, 'holdfast-1', others).size, 0, 'which row is which?');
});

test('the count of a processor that comes or goes is no pulse', async () => {
  const row = '29:          3          4  pinctrl-bcm2835  17 Edge      holdfast-1';
  let text = `  CPU0  CPU1\n ${row}\n`;
  let nowMs = 0;
  const clock = { ...systemClock(), monotonicMs: () => (nowMs += 1_000) };
  const options = { source: async () => text, consumer: 'holdfast-1', offsets: [17], clock };
  const interrupts = new Interrupts(options);
  assert.equal((await interrupts.of(17))?.count, 7);
  text = `   CPU0  CPU1  CPU2\n ${row.replace(' 3 ', ' 3 500 ')}\n`;
  assert.equal(await interrupts.of(17), undefined);
  text = `   CPU0  CPU1\n ${row.replace(' 3 ', ' 5 ')}\n`;
  assert.equal((await interrupts.of(17))?.count, 9);
});

test('a frequency is that of the pulses, is 0 in silence, and forgets a pause', () => {
  const timer = new PulseTimer();
  assert.equal(timer.take(0).is, 'still');
  timer.pulse(1_000);
  assert.equal(timer.take(1_001).is, 'unknown');
  for (let i = 1; i <= 30; i++) timer.pulse(1_000 + i * 40);
  const pace = timer.take(2_300);
  assert.deepEqual(pace, { is: 'pulses', hz: 25, periodMs: 40 });
  assert.deepEqual(timer.take(2_270), pace, 'a slow signal keeps its value for two periods');
  assert.equal(timer.take(2_281).is, 'still');
  timer.pulse(900_000);
  timer.pulse(900_010);
  assert.deepEqual(timer.take(900_100), { is: 'pulses', hz: 100, periodMs: 10 });
});

/** Pulses as the kernel has them: each is fetched or lost; and looks at the kernel's count. */
const history = fc.array(
  fc.oneof(fc.constant('fetched'), fc.constant('lost'), fc.constant('late'), fc.constant('asked')),
  { maxLength: 200 },
);

test('a tally never goes back or beyond the truth, and has it all once the kernel said', () => {
  fc.assert(
    fc.property(history, fc.nat({ max: 1_000 }), (steps, zero) => {
      let nowMs = 0;
      let truth = 0;
      let before = 0;
      let underWay: number[] = [];
      const tally = new PulseTally({ count: zero, beforeMs: 0, afterMs: 0 });
      for (const step of [...steps, 'asked'] as const) {
        nowMs++;
        if (step === 'asked') {
          tally.asked({ count: zero + truth, beforeMs: nowMs, afterMs: nowMs });
          assert.equal(tally.total, truth);
        } else {
          truth++;
          if (step === 'late') underWay.push(nowMs);
          if (step === 'fetched') {
            for (const atMs of [...underWay, nowMs]) tally.edge(atMs);
            underWay = [];
          }
        }
        assert.ok(tally.total >= before && tally.total <= truth);
        before = tally.total;
      }
    }),
  );
});

test('a pause between two looks at the clocks puts no edge behind the count that has it', () => {
  const [pauseMs, offsetMs] = [50, 1_000];
  const hrtimeMs = () => Number(process.hrtime.bigint()) / 1e6;
  let looks = 0;
  const monotonicMs = () => {
    for (const endMs = hrtimeMs() + pauseMs; looks === 0 && hrtimeMs() < endMs; );
    looks++;
    return hrtimeMs() + offsetMs;
  };
  const distanceMs = distanceFromKernelMs({ ...systemClock(), monotonicMs });
  assert.ok(Math.abs(distanceMs - offsetMs) < pauseMs / 10, `${distanceMs}`);
});

test('what will never arrive is known when a later edge or a pause shows that the rest has', () => {
  const tally = new PulseTally({ count: 5, beforeMs: 0, afterMs: 0 });
  for (const atMs of [1, 2, 3]) tally.edge(atMs);
  tally.asked({ count: 5 + 5, beforeMs: 10, afterMs: 10 });
  assert.equal(tally.missing(false), undefined);
  assert.equal(tally.missing(true), 2);
  tally.edge(4); // it was only late
  tally.edge(11);
  assert.equal(tally.missing(false), 1);
});

test('an answer of the kernel that comes after the watch is over counts nothing', async () => {
  const options = { line: 17, device: 'd', metric: 'n', mode: 'counter', interval: '100 ms' };
  const [fields] = gpioSpec.options.parse({ lines: [options] }).lines;
  assert.ok(fields?.mode === 'counter');
  const reader = new CounterReader(fields, undefined);
  let answer = (_: KernelCount) => {};
  const asked = new Promise<void>((resolve) => {
    const ask = () => {
      resolve();
      return new Promise<KernelCount>((answered) => (answer = answered));
    };
    reader.began(false, 0, { first: { count: 0, beforeMs: 0, afterMs: 0 }, ask });
  });
  const stop = new AbortController();
  const { monotonicMs } = systemClock();
  const port = {
    tell: async () => {},
    tellLoss: async () => {},
    get nowMs() {
      return monotonicMs();
    },
  };
  const running = reader.run(port, stop.signal);
  await asked;
  reader.broke();
  answer({ count: 5, beforeMs: 20, afterMs: 21 }); // of which the next watch will tell
  await delay(1);
  reader.began(false, 20, {
    first: { count: 5, beforeMs: 20, afterMs: 21 },
    ask: async () => undefined,
  });
  for (const atMs of [11, 12, 13, 14, 15]) reader.edge(true, atMs);
  stop.abort();
  await running;
  assert.equal(reader.pulses, 5);
});

test('a level counts after it has stayed; its time is that of the last change', () => {
  const told: [boolean, number][] = [];
  const waiting = new Map<number, () => void>();
  let next = 0;
  const debouncer = new Debouncer(20, false, (level, atMs) => told.push([level, atMs]), {
    set: (task) => {
      waiting.set(++next, task);
      const timer = setTimeout(() => {}, 0);
      clearTimeout(timer);
      return timer;
    },
    clear: () => waiting.clear(),
  });
  const pass = () => {
    for (const task of waiting.values()) task();
    waiting.clear();
  };
  debouncer.see(true, 1);
  debouncer.see(false, 2);
  debouncer.see(true, 3);
  assert.deepEqual(told, []);
  pass();
  debouncer.see(false, 40);
  debouncer.see(true, 41);
  pass();
  assert.deepEqual(told, [[true, 3]], 'a dip that did not stay is none');
});

test('edges keep their order by a clock of whole ms, and a clock that is set is followed', () => {
  let wallMs = 1_700_000_000_000;
  const clock = { wallMs: () => wallMs, monotonicMs: () => 1_000, synced: () => true };
  const events = new EventClock({ ...clock, sync: () => ({ state: 'synced' }), bootId: 'b' });
  const first = events.stamp(999.4).time ?? 0;
  wallMs -= 1;
  assert.ok((events.stamp(999.6).time ?? 0) >= first);
  wallMs += 3_600_000;
  assert.equal(events.stamp(1_000).time, wallMs);
});

const outputs = ['pump', 'lamp'].map((metric) => ({ fields: { metric } }));
const command = (name: string, data: string, of = outputs.slice(0, 1)) => {
  const result = parseCommand({ device: 'd', name, payload: Buffer.from(data) }, of);
  return result.ok ? [result.output.fields.metric, result.wish] : result.detail;
};

test('commands are checked before anything is done', () => {
  for (const data of ['true', '1', '"on"', 'on', '{"value":true}', '{"metric":"pump","value":1}'])
    assert.deepEqual(command('set', data), ['pump', { is: 'set', active: true }], data);
  assert.deepEqual(command('toggle', ''), ['pump', { is: 'toggle' }]);
  assert.deepEqual(command('pulse', '500'), ['pump', { is: 'pulse', durationMs: 500 }]);
  for (const [name, data, pattern] of [
    ['open', '', /no command `open`; there are `set`, `toggle` and `pulse`/],
    ['set', '', /no value/],
    ['set', '{"value":2}', /no value/],
    ['set', '{"valeu":true}', /not understood/],
    ['set', '{"metric":"fan","value":true}', /no output `fan`; it has `pump`/],
    ['pulse', '', /needs `durationMs`/],
    ['pulse', '5', /10 ms to 30 min/],
    ['pulse', '1e9', /10 ms to 30 min/],
    ['toggle', '{"durationMs":5}', /belongs to `pulse`/],
  ] as const)
    assert.match(String(command(name, data)), pattern);
  assert.match(String(command('set', 'true', outputs)), /which output is meant\? It has `pump`/);
  assert.deepEqual(command('set', '{"metric":"lamp","value":false}', outputs), [
    'lamp',
    { is: 'set', active: false },
  ]);
});

test('sysfs: an edge whose event is late counts once, one whose event was swallowed too', async () => {
  for (const isSwallowed of [true, false]) {
    let level = 0;
    let tell = (_: null, _level: number) => {};
    const line = {
      watch: (listener: (error: null, level: number) => void) => {
        tell = listener;
      },
      read: async () => {
        const found = level;
        // the wire moves once the bridge has begun, and the event follows after the look at it
        if (found === 1 && !isSwallowed) setTimeout(() => tell(null, 1), 5);
        return found;
      },
      write: async () => {},
      unexport: () => {},
    };
    const onoff = { input: () => line, output: () => line };
    const chip = { name: 'gpiochip512', label: 'x', lines: 8, base: 512, device: undefined };
    const backend = new SysfsBackend(onoff, chip, systemClock());
    const edges: boolean[] = [];
    const listener = { edge: (_: number, active: boolean) => edges.push(active), settled() {} };
    const settings = { edges: 'both', debounceMs: 0, bias: undefined, activeLow: false } as const;
    const watch = await backend.watch([3], settings, listener);
    level = 1;
    await until('the edge', () => edges.length > 0);
    await delay(100);
    assert.deepEqual(edges, [true], isSwallowed ? 'swallowed' : 'late');
    await watch.stop();
  }
});

/** As a Pi 5 and a Pi 4 have it: two chips of which the labels tell which one is the header. */
function sysTree(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'holdfast-gpio-sys-'));
  afterTest(t, () => rmSync(root, { recursive: true, force: true }));
  const chips = [
    ['gpiochip512', 'gpio-brcmstb@107d508500', 32, 'soc/a', 'gpiochip10'],
    ['gpiochip571', 'pinctrl-rp1', 54, 'pci/rp1', 'gpiochip0'],
  ] as const;
  for (const [name, label, lines, device, dev] of chips) {
    const entry = join(root, 'devices', device, 'gpio', name);
    mkdirSync(entry, { recursive: true });
    mkdirSync(join(root, 'devices', device, dev));
    writeFileSync(join(entry, 'label'), `${label}\n`);
    writeFileSync(join(entry, 'base'), `${name.slice('gpiochip'.length)}\n`);
    writeFileSync(join(entry, 'ngpio'), `${lines}\n`);
    symlinkSync(join(root, 'devices', device), join(entry, 'device'));
    for (const [folder, link, target] of [
      ['class/gpio', name, entry],
      ['bus/gpio/devices', dev, join(root, 'devices', device, dev)],
    ] as const) {
      mkdirSync(join(root, folder), { recursive: true });
      symlinkSync(target, join(root, folder, link));
    }
  }
  return root;
}

test('the chip of sysfs is found by its label, its device, or as the header', async (t) => {
  const root = sysTree(t);
  const chips = await sysfsChips(root);
  const baseOf = async (wanted: string) => (await chooseSysfsChip(wanted, chips, root)).base;
  assert.equal(await baseOf('auto'), 571);
  assert.equal(await baseOf('/dev/gpiochip0'), 571);
  assert.equal(await baseOf('gpiochip10'), 512);
  assert.equal(await baseOf('gpio-brcmstb@107d508500'), 512);
  assert.equal(await baseOf('gpiochip571'), 571);
  await assert.rejects(baseOf('mcp23017'), /no GPIO chip `mcp23017`; there is gpiochip512/);
  await assert.rejects(sysfsChips(join(root, 'none')), /CONFIG_GPIO_SYSFS.*backend: cdev/);
});
