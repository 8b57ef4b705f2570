/**
 * Goal: with `thin`, whatever happens, every acknowledged event is in exactly one place: with the
 * far side or still in the log, as itself or as a part of one aggregate, or counted as lost.
 * Method: the real log, batcher and settlement on a disk in memory that forgets what was not
 * synced; the values of the readings are the numbers of the events, so that sums and extremes tell
 * which they were.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type HubEvent, LANES, type Lane } from '../../hub/core/event.ts';
import { sumOfLost } from '../../hub/core/lost-counts.ts';
import { Batcher, type Run } from '../../hub/forward/batcher.ts';
import { ClaimedLog } from '../../hub/forward/claimed-log.ts';
import { Settlement } from '../../hub/forward/settlement.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { blockRange } from '../../hub/log/keys.ts';
import { openAggregate } from '../../hub/process/aggregate-payload.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FaultStorage, MemoryDisk, systemError } from '../support/fault-storage.ts';
import { appended, readAll } from '../support/log-fixture.ts';
import { memoryMark } from '../support/memory-mark.ts';
import { chooseSeed } from '../support/seeded-random.ts';
import { calm, openThinLog, SITE } from '../support/thin-fixture.ts';

const SINK = 'cloud';
const RUNS = Number(process.env['HOLDFAST_MODEL_RUNS'] ?? 30);
const BYTES_MAX = 2_500;
const WINDOW_MS = 60_000;

const lane = fc.constantFrom<Lane>('alarm', 'normal', 'normal', 'bulk', 'bulk');
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      lane,
      events: fc.integer({ min: 1, max: 60 }),
      gapMs: fc.constantFrom(0, 100, 1_000, 7_000),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('take' as const, 'settle' as const, 'drain' as const),
      lane,
      events: fc.integer({ min: 1, max: 40 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'powerCut' as const,
        'reopen' as const,
        'reboot' as const,
        'failBefore' as const,
        'failAfter' as const,
        'confirm' as const,
        'forget' as const,
        'calm' as const,
      ),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** What some records say together. */
interface Sum {
  events: number;
  sum: number;
  min: number;
  max: number;
}

/** Adds the records up by topic; they must come in order and not overlap. */
function addUp(records: readonly HubEvent[]): Map<string, Sum> {
  const sums = new Map<string, Sum>();
  for (const event of records) {
    const [reading, ...others] = SITE(event).readings;
    assert.ok(reading && others.length === 0 && typeof reading.value === 'number');
    const events = event.kind === 'aggregate' ? openAggregate(event)?.events : 1;
    const { count = 1, min = reading.value, max = reading.value } = reading.aggregate ?? {};
    assert.equal(count, events, 'each event has one reading');
    const known = sums.get(event.topic);
    assert.ok(!known || known.max < min, `${event.topic}: ${min} comes after ${known?.max}`);
    sums.set(event.topic, {
      events: (known?.events ?? 0) + count,
      sum: (known?.sum ?? 0) + reading.value * count,
      min: known?.min ?? min,
      max,
    });
  }
  return sums;
}

class World {
  readonly disk = new MemoryDisk();
  readonly clock = new FakeClock();
  readonly mark = memoryMark();
  readonly windowMs: number;
  /** Acknowledged, by lane: the topic of each; its value is its place in the list. */
  readonly acknowledged = new Map<Lane, string[]>(LANES.map((name) => [name, []]));
  /** What the far side has, as far as the cursor says so. */
  readonly far = new Map<Lane, Run[]>(LANES.map((name) => [name, []]));
  readonly held = new Map<Lane, Run>();
  storage = new FaultStorage(this.disk.storage());
  instances = 1;
  #open:
    | { log: DurableLog; settlement: Settlement; claimed: ClaimedLog; reading: ClaimedLog }
    | undefined;

  constructor(windowMs: number) {
    this.windowMs = windowMs;
  }

  get parts() {
    assert.ok(this.#open);
    return this.#open;
  }

  async open(): Promise<void> {
    this.storage = new FaultStorage(this.disk.storage());
    const { clock, mark } = this;
    const sinks = [{ id: SINK, start: 'oldest' as const }];
    const log = await openThinLog(this.storage, BYTES_MAX, { clock, mark, sinks });
    const settlement = new Settlement(log, SINK, clock, this.windowMs);
    settlement.seen(`instance ${this.instances}`);
    const claimed = new ClaimedLog(log, (name) => settlement.cursor(name).offset);
    const reading = new ClaimedLog(log, (name) => settlement.cursor(name).offset);
    this.#open = { log, settlement, claimed, reading };
    this.forgetUnsettled();
  }

  /** The cursor has gone back, so what came after it comes again. */
  forgetUnsettled(): void {
    this.held.clear();
    for (const [name, runs] of this.far) {
      const { offset } = this.parts.settlement.cursor(name);
      this.far.set(
        name,
        runs.filter(({ to }) => to <= offset),
      );
    }
  }

  async append(name: Lane, events: number, gapMs: number): Promise<void> {
    const all = this.acknowledged.get(name) ?? [];
    const results = Array.from({ length: name === 'alarm' ? 2 : events }, () => {
      const number = all.length;
      const topic = `site/a/dev${number % 3}/temp`;
      all.push(topic);
      this.clock.advance(gapMs);
      const payload = Buffer.from(String(number));
      return appended(this.parts.log, { topic, payload, source: 'mqtt' }, name);
    });
    await Promise.all(results);
  }

  async take(name: Lane, eventsMax: number): Promise<void> {
    const { claimed, settlement } = this.parts;
    if (this.held.has(name)) return;
    const batcher = new Batcher(claimed, name, () => true);
    const limits = { eventsMax, bytesMax: 10_000 };
    const run = await batcher.next(settlement.cursor(name).offset, limits);
    if (run) this.held.set(name, run);
  }

  /** The far side has it. */
  async settle(name: Lane): Promise<void> {
    const run = this.held.get(name);
    if (!run) return;
    this.held.delete(name);
    this.far.get(name)?.push(run);
    await this.parts.settlement.settle(run, []);
  }

  forgotten(): void {
    this.instances++;
    this.parts.settlement.seen(`instance ${this.instances}`);
    this.forgetUnsettled();
  }

  async check(): Promise<void> {
    const { log, settlement } = this.parts;
    for (const name of LANES) {
      const all = this.acknowledged.get(name) ?? [];
      const cursor = settlement.cursor(name);
      assert.equal(log.range(name).tail, all.length, `${name}: every offset was given once`);
      const { offset, start, delivered, filtered, deadLettered, thinned, lost } = cursor;
      const counted = delivered + filtered + deadLettered + thinned + sumOfLost(lost);
      assert.equal(offset - start, counted, `${name}: the cursor's equation`);
      const taken = (this.far.get(name) ?? []).flatMap(({ events }) => events);
      assert.equal(delivered, taken.length, `${name}: what the far side has was delivered`);
      const { waiting, head } = await this.#waiting(name, offset);
      const missing = sumOfLost(lost) + Math.max(0, head - offset);
      const sums = addUp([...taken, ...waiting]);
      const present = [...sums.values()].reduce((sum, { events }) => sum + events, 0);
      // a sink that has had a part of a block's aggregates passed more events than they stand for:
      // when the others are dropped then, fewer count as lost than are
      assert.ok(present + missing <= all.length, `${name}: no event is in two places`);
      if (missing === 0) this.#same(name, sums, all);
      if (name === 'alarm')
        assert.ok([...taken, ...waiting].every(({ kind }) => kind === 'message'));
    }
  }

  /** What is left in the log, read while nothing was trimmed. */
  async #waiting(name: Lane, offset: number) {
    const { log, reading } = this.parts;
    for (;;) {
      const { head } = log.range(name);
      const waiting = await readAll(reading, name, offset, 700);
      reading.forget();
      if (log.range(name).head === head) return { waiting, head };
    }
  }

  #same(name: Lane, sums: ReadonlyMap<string, Sum>, all: readonly string[]): void {
    const wanted = new Map<string, Sum>();
    for (const [number, topic] of all.entries()) {
      const known = wanted.get(topic) ?? { events: 0, sum: 0, min: number, max: number };
      const { events, sum, min } = known;
      wanted.set(topic, { events: events + 1, sum: sum + number, min, max: number });
    }
    assert.deepEqual([...sums.keys()].sort(), [...wanted.keys()].sort());
    for (const [topic, sum] of wanted) {
      const found = sums.get(topic);
      assert.ok(found && Math.abs(found.sum - sum.sum) < 1e-6, `${name} ${topic}: the sum`);
      assert.deepEqual({ ...found, sum: 0 }, { ...sum, sum: 0 }, `${name} ${topic}`);
    }
  }

  /** What the log believes to take is what its blocks take. */
  async checkBytes(): Promise<void> {
    const { log } = this.parts;
    await calm(log);
    for (const { lane: name, bytes, head } of log.status().lanes) {
      let stored = 0;
      for await (const [, value] of this.storage.entries(blockRange(name, head, 1e9))) {
        stored += value.length;
      }
      assert.equal(bytes, stored, `${name}: bytes from ${head} on`);
    }
  }
}

async function takeStep(world: World, next: Step): Promise<void> {
  switch (next.do) {
    case 'append':
      return await world.append(next.lane, next.events, next.gapMs);
    case 'take':
      return await world.take(next.lane, next.events);
    case 'settle':
      return await world.settle(next.lane);
    case 'drain':
      await world.settle(next.lane);
      await world.take(next.lane, 1_000);
      return await world.settle(next.lane);
    case 'powerCut':
      world.disk.powerCut();
      return await world.open();
    case 'reboot':
      world.disk.powerCut();
      world.clock.reboot();
      return await world.open();
    case 'reopen':
      await world.parts.log.close();
      return await world.open();
    case 'failBefore':
    case 'failAfter': {
      const when = next.do === 'failBefore' ? 'before' : 'after';
      world.storage.onWrite(world.storage.writes + 1, { when, error: systemError('EIO') });
      return await world.append('normal', 3, 10);
    }
    case 'confirm':
      world.clock.advance(WINDOW_MS);
      world.parts.settlement.seen(`instance ${world.instances}`);
      return;
    case 'forget':
      return world.forgotten();
    case 'calm':
      return await world.checkBytes();
  }
}

for (const windowMs of [0, WINDOW_MS]) {
  test(`each event is in one place while the log is thinned, window ${windowMs} ms`, async (t) => {
    const seed = chooseSeed();
    t.diagnostic(`seed ${seed}`);
    let aggregates = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 15, maxLength: 60 }), async (steps) => {
        const world = new World(windowMs);
        await world.open();
        for (const next of steps) {
          await takeStep(world, next);
          await world.check();
        }
        await world.parts.log.close();
        await world.open();
        await world.check();
        await world.checkBytes();
        for (const { thinned } of world.parts.log.status().lanes) aggregates += thinned.aggregates;
        await world.parts.log.close();
      }),
      { seed, numRuns: RUNS, endOnFailure: true },
    );
    assert.ok(aggregates > 0, 'something was thinned');
    t.diagnostic(`${aggregates} aggregates`);
  });
}
