/**
 * Goal: weeks of a gateway's life leave the ledger exact, the times true and everything within its
 * bounds. Method: the real log, batcher, settlement, decoder and aggregation on a disk in memory
 * and a clock that the test owns: ten minutes a step, with outages of days, power cuts, boots into
 * the past that are put right an hour later, retention, and a capacity that is far too small.
 * HOLDFAST_WEEKS sets how many weeks; HOLDFAST_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { type HubEvent, LANES, type Lane } from '../../hub/core/event.ts';
import { sumOfLost } from '../../hub/core/lost-counts.ts';
import type { WhenFull } from '../../hub/core/status.ts';
import { Batcher } from '../../hub/forward/batcher.ts';
import { Settlement } from '../../hub/forward/settlement.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { aggregator } from '../../hub/process/aggregate.ts';
import { openAggregate } from '../../hub/process/aggregate-payload.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/fault-storage.ts';
import { appended, openTestLog } from '../support/log-fixture.ts';
import { memoryMark } from '../support/memory-mark.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';

const WEEKS = Number(process.env['HOLDFAST_WEEKS'] ?? 1);
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const STEP_MS = 10 * MINUTE_MS;
const CAPACITY_BYTES = 120_000;
/** What is gathered when the bound is reached still goes in. */
const GROUP_BYTES = 1_000;
const AGE_MAX_MS = 2 * DAY_MS;
const TRUTH_MS = 1_000;
const TOPICS: Readonly<Record<Lane, string>> = {
  alarm: 'site/a/dev0/alarm',
  normal: 'site/a/dev1/temp',
  bulk: 'site/a/dev2/vibration',
};
const SINKS = ['always', 'outages'] as const;
type SinkName = (typeof SINKS)[number];

/** What happened in truth, by lane and offset. */
interface Truth {
  readonly atMs: number;
  readonly value: number;
}

/** What a far side has of one lane. */
class Taken {
  readonly offsets = new Set<number>();
  originals = 0;
  aggregated = 0;
  valueSum = 0;
  estimated = 0;
}

class Gateway {
  readonly disk = new MemoryDisk();
  readonly clock = new FakeClock();
  readonly truth = new Map<Lane, Truth[]>(LANES.map((lane) => [lane, []]));
  readonly taken = new Map<string, Taken>();
  readonly #mark = memoryMark();
  readonly #decoder;
  readonly #whenFull: WhenFull;
  /** How far the wall clock is off; 0 while it is right. */
  #wrongMs = 0;
  #trueMs: number;
  #log: DurableLog | undefined;
  bytesMost = 0;
  readonly #syncedBoots = new Set<string>();

  constructor(whenFull: WhenFull) {
    this.#whenFull = whenFull;
    this.#trueMs = this.clock.wallMs();
    this.#syncedBoots.add(this.clock.bootId);
    const rule = { topic: 'site/{area}/{device}/{metric}', format: 'json', fields: ['v'] } as const;
    this.#decoder = createDecoder([rule]);
  }

  get log(): DurableLog {
    assert.ok(this.#log);
    return this.#log;
  }

  takenOf(sink: SinkName, lane: Lane): Taken {
    const taken = this.taken.get(`${sink}/${lane}`) ?? new Taken();
    this.taken.set(`${sink}/${lane}`, taken);
    return taken;
  }

  async open(): Promise<void> {
    this.#log = await openTestLog(this.disk.storage(), {
      mark: this.#mark,
      clock: this.clock,
      bytesMax: CAPACITY_BYTES,
      whenFull: this.#whenFull,
      ageMaxMs: AGE_MAX_MS,
      sinks: SINKS.map((id) => ({ id, start: 'oldest' })),
      aggregate: aggregator(this.#decoder),
    });
    await this.log.checked();
  }

  /** A little after the last delivery: a cursor that is lost with the power costs duplicates. */
  async powerCut(wrongMs: number): Promise<void> {
    const { log } = this;
    const cursors = SINKS.flatMap((sink) => LANES.map((lane) => log.cursors.operation(sink, lane)));
    await new Promise<void>((resolve) => log.write(cursors, () => resolve()));
    this.disk.powerCut();
    this.clock.reboot();
    this.clock.jump(wrongMs - this.#wrongMs);
    this.#wrongMs = wrongMs;
    this.clock.isSynced = wrongMs === 0;
    if (wrongMs === 0) this.#syncedBoots.add(this.clock.bootId);
    await this.open();
  }

  async synchronise(): Promise<void> {
    this.clock.jump(-this.#wrongMs);
    this.#wrongMs = 0;
    this.clock.isSynced = true;
    this.#syncedBoots.add(this.clock.bootId);
    await this.lookAfter();
  }

  pass(ms: number): void {
    this.clock.advance(ms);
    this.#trueMs += ms;
  }

  /** One round of the log's housekeeping, and whatever trimming and thinning it begins. */
  async lookAfter(): Promise<void> {
    mock.timers.tick(1_000);
    const { log } = this;
    for (let turn = 0; turn < 40; turn++) await new Promise((resolve) => setImmediate(resolve));
    await new Promise<void>((resolve) => log.write([], () => resolve()));
    // what the log reports of its own are events of the alarm lane
    const alarms = this.truth.get('alarm') ?? [];
    while (alarms.length < log.range('alarm').tail) {
      alarms.push({ atMs: this.#trueMs, value: 0 });
    }
    this.bytesMost = Math.max(this.bytesMost, log.status().bytes);
  }

  async publish(lane: Lane, value: number): Promise<void> {
    if (this.log.mustWait(lane)) return; // the input holds it back
    const before = this.log.range(lane).tail;
    const payload = Buffer.from(JSON.stringify({ v: value, n: this.log.range(lane).tail }));
    const acknowledged = appended(this.log, { topic: TOPICS[lane], payload, source: 'mqtt' }, lane);
    await acknowledged;
    const events = this.truth.get(lane);
    assert.equal(before, events?.length, `${lane}: no offset is used twice, none is left out`);
    if (this.log.range(lane).tail > before) events?.push({ atMs: this.#trueMs, value });
  }

  /** What a forwarder does. Not while the clock is wrong: sinks wait for it. */
  async drain(sink: SinkName): Promise<void> {
    if (!this.clock.isSynced) return;
    const settlement = new Settlement(this.log, sink, this.clock, 0);
    for (const lane of LANES) {
      const limits = { eventsMax: 200, bytesMax: 100_000 };
      const batcher = new Batcher(this.log, lane, () => true);
      for (;;) {
        const run = await batcher.next(settlement.cursor(lane).offset, limits);
        if (!run) break;
        for (const event of run.events) this.#take(sink, event);
        await settlement.settle(run, []);
      }
    }
  }

  #take(sink: SinkName, event: HubEvent): void {
    const { lane, offset, kind } = event;
    const taken = this.takenOf(sink, lane);
    assert.ok(!taken.offsets.has(offset), `${sink}: ${lane}/${offset} came twice`);
    taken.offsets.add(offset);
    if (kind === 'loss') taken.originals++;
    else if (kind === 'aggregate') this.#takeAggregate(taken, event);
    else {
      const { v, n } = JSON.parse(event.payload.toString()); // beside aggregates it may have moved
      const truth = this.truth.get(lane)?.[n];
      assert.ok(truth && n <= offset);
      assert.equal(v, truth.value);
      this.#checkTime(event.receivedMs, truth.atMs, event);
      taken.originals++;
      taken.valueSum += v;
    }
  }

  #takeAggregate(taken: Taken, event: HubEvent): void {
    const facts = openAggregate(event);
    assert.ok(facts, 'an aggregate that cannot be read');
    assert.notEqual(event.lane, 'alarm', 'alarms are never thinned');
    taken.aggregated += facts.events;
    for (const reading of facts.readings) {
      assert.ok('mean' in reading);
      assert.ok(reading.min <= reading.mean && reading.mean <= reading.max);
      taken.valueSum += reading.mean * reading.count;
    }
  }

  #checkTime(
    receivedMs: number,
    trueMs: number,
    { lane, offset, timeQuality, bootId }: HubEvent,
  ): void {
    const offMs = Math.abs(receivedMs - trueMs);
    const never = !this.#syncedBoots.has(bootId);
    assert.equal(timeQuality === 'estimated', never, `${lane}/${offset}: a boot that had the time`);
    if (!never) assert.ok(offMs <= TRUTH_MS, `${lane}/${offset} is ${offMs} ms off`);
  }

  /** Every event is delivered, in an aggregate that was delivered, lost, or still queued. */
  checkLedger(): void {
    for (const sink of SINKS) {
      for (const lane of LANES) {
        const { tail } = this.log.range(lane);
        const cursor = this.log.cursors.get(sink, lane);
        const { offset, start, delivered, filtered, deadLettered, thinned, lost } = cursor;
        const parts = delivered + filtered + deadLettered + thinned + sumOfLost(lost);
        assert.equal(offset - start, parts, `${sink} ${lane}: the ledger adds up`);
        const taken = this.takenOf(sink, lane);
        assert.equal(taken.offsets.size, delivered, `${sink} ${lane}: delivered`);
        const told = taken.originals + taken.aggregated + sumOfLost(lost);
        assert.equal(told + tail - offset, tail - start, `${sink} ${lane}: each event once`);
      }
    }
    const received = this.log.received.entries().reduce((sum, { events }) => sum + events, 0);
    const { alarm, normal, bulk } = this.log.received.refused;
    assert.equal(received, this.log.acceptedEvents + alarm + normal + bulk);
  }
}

/** The weeks of one gateway. */
async function live(gateway: Gateway, random: () => number): Promise<void> {
  let offlineUntil = 0;
  let syncAt = Number.POSITIVE_INFINITY;
  const steps = (WEEKS * 7 * DAY_MS) / STEP_MS;
  for (let step = 0; step < steps; step++) {
    gateway.pass(STEP_MS);
    if (random() < 0.004) {
      const past = random() < 0.7;
      await gateway.powerCut(past ? -Math.round(random() * 400) * DAY_MS : 0);
      syncAt = past ? step + 6 : Number.POSITIVE_INFINITY; // an hour later
    }
    if (step >= syncAt) {
      await gateway.synchronise();
      syncAt = Number.POSITIVE_INFINITY;
    }
    for (let event = 0; event < 4; event++) {
      gateway.pass(1_000);
      await gateway.publish('normal', Math.round(random() * 1_000) / 10);
      await gateway.publish('bulk', Math.round(random() * 1_000) / 10);
    }
    if (random() < 0.02) await gateway.publish('alarm', 1);
    if (step >= offlineUntil && random() < 0.003) {
      offlineUntil = step + Math.round((random() * 4 * DAY_MS) / STEP_MS);
    }
    await gateway.drain('always');
    if (step >= offlineUntil) await gateway.drain('outages');
    await gateway.lookAfter();
    if (step % 50 === 0) gateway.checkLedger();
  }
  await gateway.synchronise();
  for (const sink of SINKS) await gateway.drain(sink);
  gateway.checkLedger();
}

mock.timers.enable({ apis: ['setInterval'] });

for (const whenFull of ['thin', 'drop_oldest', 'drop_newest', 'block'] as const) {
  test(`${WEEKS} weeks with ${whenFull}: exact, in time, within bounds`, async (t) => {
    const seed = chooseSeed();
    t.diagnostic(`seed ${seed}`);
    const gateway = new Gateway(whenFull);
    await gateway.open();
    await live(gateway, seededRandom(seed));
    const { log } = gateway;
    assert.ok(gateway.bytesMost <= CAPACITY_BYTES + GROUP_BYTES, `${gateway.bytesMost} bytes`);
    const lost = log.losses.total;
    if (whenFull === 'block') assert.equal(lost, 0);
    const alarms = [...log.losses.entries()].filter(({ lane }) => lane === 'alarm');
    if (whenFull === 'thin') assert.deepEqual(alarms, [], 'alarms are untouched');
    if (whenFull === 'thin' && lost === 0) {
      // nothing was lost, so all that was measured is there, if only as a part of means
      for (const lane of ['normal', 'bulk'] as const) {
        const sum = (gateway.truth.get(lane) ?? []).reduce((all, { value }) => all + value, 0);
        for (const sink of SINKS) {
          const { valueSum } = gateway.takenOf(sink, lane);
          assert.ok(Math.abs(valueSum - sum) <= 1e-6 * sum, `${sink}: ${valueSum} of ${sum}`);
        }
      }
    }
    const { aggregated, originals } = gateway.takenOf('outages', 'bulk');
    t.diagnostic(
      `${log.acceptedEvents} events, ${lost} lost, bulk after outages: ${originals} as they were, ` +
        `${aggregated} in aggregates, most ${gateway.bytesMost} bytes`,
    );
    await log.close();
  });
}
