import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { z } from 'zod';
import { Sampler, type SamplerOptions } from '../../firmware-bridge/sampling/sampler.ts';
import type { Reading, Sample, Sensor } from '../../firmware-bridge/sampling/sensor.ts';
import type { BridgeContext, DetailKind } from '../../hub/core/bridge.ts';
import { HubError } from '../../hub/core/errors.ts';
import { FakeSchedule } from '../support/fake-schedule.ts';

const json = z.record(z.string(), z.union([z.number(), z.string(), z.boolean()]));

/** A sensor whose readings a test decides. */
class Toy implements Sensor {
  readonly key: string;
  readonly device: string;
  readonly name: string;
  readonly identity = {};
  readonly lane: string;
  readonly intervalMs = 1_000;
  readonly timeoutMs = 500;
  readonly readAtMs: number[] = [];
  answer: (reading: Reading) => Promise<Sample> = async () => ({ values: [['a', 1]] });
  nowMs: () => number = () => 0;

  constructor(device: string, lane = 'bus') {
    this.key = device;
    this.device = device;
    this.name = `${device} (toy)`;
    this.lane = lane;
  }

  async read(reading: Reading): Promise<Sample> {
    this.readAtMs.push(this.nowMs());
    return await this.answer(reading);
  }
}

/** A sampler on a clock that a test moves, and what it hands over. */
class Bench {
  readonly time = new FakeSchedule();
  readonly sampler: Sampler;
  readonly stop = new AbortController();
  readonly messages: { topic: string; kind: string; values: z.output<typeof json> }[] = [];
  readonly startMs = this.time.nowMs();
  detail: string | undefined;
  detailIs: DetailKind | undefined;
  connections = 0;
  gate: () => Promise<void> = async () => {};
  ended: Promise<unknown> = Promise.resolve();

  constructor(options: Partial<SamplerOptions> = {}) {
    const after: SamplerOptions['after'] = (delayMs, work) => this.time.after(delayMs, work);
    this.sampler = new Sampler({ topic: 'toy/{device}', after, ...options });
  }

  add(...toys: readonly Toy[]): void {
    for (const toy of toys) {
      toy.nowMs = () => this.time.nowMs() - this.startMs;
      this.sampler.add(toy);
    }
  }

  async begin(stop = this.stop): Promise<void> {
    const context: BridgeContext = {
      id: 'bench',
      clock: this.time.clock,
      random: () => 0,
      logger: pino({ level: 'silent' }),
      connected: () => {
        this.connections += 1;
      },
      describe: (detail, kind) => {
        this.detail = detail;
        this.detailIs = kind;
      },
      badFrames: () => {},
      loadState: async () => new Map(),
      accept: async ({ topic, payload, kind = 'message' }) => {
        const values = json.parse(JSON.parse(payload.toString()));
        this.messages.push({ topic, kind, values });
        await this.gate();
      },
    };
    this.ended = this.sampler.run(context, stop.signal).then(
      () => undefined,
      (error: unknown) => error,
    );
    await this.time.pass(0);
  }

  of(device: string) {
    return this.messages.filter(({ topic }) => topic === `toy/${device}`);
  }

  gaps() {
    return this.messages.filter(({ kind }) => kind === 'hub.health');
  }
}

/** Takes so long on the clock of the bench. */
const slow =
  (bench: Bench, ms: number, sample: Sample = { values: [['a', 1]] }) =>
  () =>
    new Promise<Sample>((resolve) => {
      bench.time.after(ms, () => resolve(sample));
    });

const never = () => new Promise<Sample>(() => {});

test('sensors: keep their beat, carry the time, and one device is one topic', async () => {
  const bench = new Bench();
  const toy = new Toy('a');
  bench.add(toy);
  await bench.begin();
  const atMs = bench.time.clock.wallMs();
  await bench.time.pass(2_500);
  assert.deepEqual(toy.readAtMs, [0, 1_000, 2_000]);
  assert.deepEqual(bench.of('a')[1]?.values, { time: atMs + 1_000, a: 1 });
  assert.equal(bench.connections, 1);
  bench.time.clock.isSynced = false;
  await bench.time.pass(1_000);
  assert.deepEqual(bench.of('a').at(-1)?.values, { a: 1 }, 'a clock that is not set says nothing');
});

test('sensors: of one lane take turns, and of several are read at once, up to the limit', async () => {
  const bench = new Bench({ parallelMax: 2 });
  const toys = ['x', 'x', 'y', 'z'].map((lane, i) => new Toy(`s${i}`, lane));
  for (const toy of toys) toy.answer = slow(bench, 100);
  bench.add(...toys);
  await bench.begin();
  await bench.time.pass(900);
  assert.deepEqual(
    toys.map(({ readAtMs }) => readAtMs),
    [[0], [100], [0], [100]],
  );
});

test('what takes longer than its interval is read once more, not once for each', async () => {
  const bench = new Bench();
  const toy = new Toy('a');
  const quick = toy.answer;
  bench.add(toy);
  await bench.begin();
  let open = () => {};
  bench.gate = () => new Promise((resolve) => (open = resolve));
  await bench.time.pass(6_500);
  assert.equal(toy.readAtMs.length, 2, 'while a message waits for the log nothing is read');
  bench.gate = async () => {};
  toy.answer = quick;
  open();
  await bench.time.pass(600);
  assert.deepEqual(toy.readAtMs, [0, 1_000, 6_500, 7_000]);
  assert.match(bench.detail ?? '', /^4 cycles missed of late, 4 since it runs: /);
  assert.equal(bench.detailIs, 'note');
});

test('nothing piles up while the log is full, however often it is run again', async () => {
  const bench = new Bench();
  bench.add(new Toy('a', 'x'), new Toy('b', 'y'));
  const opened: (() => void)[] = [];
  bench.gate = () => new Promise((resolve) => opened.push(resolve));
  for (let i = 0; i < 3; i++) {
    const stop = new AbortController();
    await bench.begin(stop);
    await bench.time.pass(2_000);
    stop.abort();
    await bench.ended;
  }
  assert.equal(bench.messages.length, 1);
  for (const open of opened) open();
  await bench.time.pass(2_000);
  assert.equal(bench.messages.length, 1, 'what waited when a run ended is not handed over');
});

test('while a message of one lane waits for the log, no lane reads', async () => {
  const bench = new Bench();
  const [first, second] = [new Toy('a', 'x'), new Toy('b', 'y')];
  second.answer = slow(bench, 100);
  bench.add(first, second);
  await bench.begin();
  await bench.time.pass(500);
  bench.gate = () => new Promise(() => {});
  await bench.time.pass(5_000);
  assert.deepEqual(first.readAtMs, [0, 1_000]);
  assert.deepEqual(second.readAtMs, [0]);
  assert.equal(bench.messages.length, 3);
});

test('a reading of an earlier run ends before the next one of that sensor begins', async () => {
  const bench = new Bench();
  const toy = new Toy('a');
  toy.answer = slow(bench, 300);
  bench.add(toy);
  const stop = new AbortController();
  await bench.begin(stop);
  await bench.time.pass(100);
  stop.abort();
  await bench.ended;
  await bench.begin();
  await bench.time.pass(100);
  assert.deepEqual(toy.readAtMs, [0]);
  await bench.time.pass(200);
  assert.deepEqual(toy.readAtMs, [0, 300]);
});

test('sensors: that fail or hang do not stop the others, are named, and leave a gap', async () => {
  const bench = new Bench();
  const [good, bad, hung] = [new Toy('good'), new Toy('bad'), new Toy('hung')];
  let comesBack = () => {};
  bench.add(good, bad, hung);
  await bench.begin();
  await bench.time.pass(1_500);
  bad.answer = () => Promise.reject(new Error('EIO: look at its wires'));
  hung.answer = () =>
    new Promise((resolve) => {
      comesBack = () => resolve({ values: [] });
    });
  await bench.time.pass(60_000);
  assert.ok(good.readAtMs.length >= 60, `${good.readAtMs.length} readings`);
  assert.equal(hung.readAtMs.length, 3, 'no second reading while the first one hangs');
  assert.ok(bad.readAtMs.length < 12, `${bad.readAtMs.length} tries`);
  assert.match(
    bench.detail ?? '',
    /^2 of 3 cannot be read; bad \(toy\): EIO: look .*; hung \(toy\): its last reading hangs/,
  );
  assert.equal(bench.detailIs, 'trouble');
  comesBack();
  for (const toy of [bad, hung]) toy.answer = async () => ({ values: [['a', 2]] });
  await bench.time.pass(31_000);
  assert.equal(bench.detail, undefined);
  const gaps = bench.gaps();
  assert.deepEqual(gaps.map(({ values }) => values['device']).sort(), ['bad', 'hung']);
  for (const { topic, values } of gaps) {
    assert.equal(topic, 'holdfast/bridge/bench');
    assert.ok(Number(values['lengthMs']) > 60_000);
    assert.ok(Number(values['failures']) > 2);
  }
  const [before, after] = [bad.readAtMs.at(-2) ?? 0, bad.readAtMs.at(-1) ?? 0];
  assert.equal(after % 1_000, 0, 'it is back in its beat');
  assert.ok(after - before <= 1_000);
});

test('sensors: all of them gone is a loss, and the time until one is back a gap', async () => {
  const bench = new Bench();
  const toys = [new Toy('a'), new Toy('b')];
  bench.add(...toys);
  await bench.begin();
  await bench.time.pass(1_500);
  for (const toy of toys) toy.answer = () => Promise.reject(new Error('no bus'));
  await bench.time.pass(10_000);
  const lost = await bench.ended;
  assert.ok(lost instanceof HubError && lost.code === 'BRIDGE_LOST');
  assert.equal(lost.message, 'no sensor can be read: a (toy): no bus; and 1 others');
  await bench.begin();
  await bench.ended;
  assert.equal(bench.connections, 1, 'connected is what answers');
  for (const toy of toys) toy.answer = async () => ({ values: [['a', 1]] });
  await bench.begin();
  await bench.time.pass(100);
  assert.equal(bench.connections, 2);
  assert.equal(bench.gaps().length, 2);
});

test('sensors: can be added and taken away while it runs', async () => {
  const bench = new Bench();
  const [first, second] = [new Toy('a'), new Toy('b', 'another')];
  bench.add(first);
  await bench.begin();
  await bench.time.pass(1_500);
  bench.add(second);
  bench.sampler.remove('a');
  await bench.time.pass(2_000);
  assert.equal(first.readAtMs.length, 2);
  assert.deepEqual(second.readAtMs, [1_500, 2_500, 3_500]);
});

test('sensors: tell what of them could not be read until a sample is whole', async () => {
  const bench = new Bench();
  const toy = new Toy('a');
  toy.answer = async () => ({ values: [['a', 1]], problems: ['no humidity'] });
  bench.add(toy);
  await bench.begin();
  assert.equal(bench.detail, 'a (toy): no humidity');
  toy.answer = async () => ({ values: [['a', 1]] });
  await bench.time.pass(1_000);
  assert.equal(bench.detail, undefined);
});

test('sensors: end at once although a reading hangs and accept never settles', async () => {
  const bench = new Bench();
  const [hung, held] = [new Toy('a', 'x'), new Toy('b', 'y')];
  hung.answer = never;
  bench.gate = () => new Promise(() => {});
  bench.add(hung, held);
  await bench.begin();
  bench.stop.abort();
  assert.equal(await bench.ended, undefined);
  assert.equal(bench.time.waiting, 0, 'no timer is left behind');
  await bench.time.pass(60_000);
  assert.equal(bench.messages.length, 1);
});
