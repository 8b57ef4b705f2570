/**
 * Goal: no sequence of appends, settlements, power cuts, restarts, failed writes and pressure
 * loses an acknowledged event or tells a lie about one. Method: the real log on a disk in memory
 * that forgets what was not synced, against a list of what was acknowledged.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LANES, type Lane } from '../../hub/core/event.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { FaultStorage, MemoryDisk, systemError } from '../support/fault-storage.ts';
import { appended, message, openTestLog, readAll, settleTo } from '../support/log-fixture.ts';
import { chooseSeed } from '../support/seeded-random.ts';

const SINK = 'cloud';
const RUNS = 40;
type WhenFull = 'block' | 'drop_oldest' | 'drop_newest';

type Step =
  | { readonly do: 'append'; readonly lane: Lane; readonly events: number; readonly bytes: number }
  | { readonly do: 'settle'; readonly lane: Lane; readonly share: number }
  | { readonly do: 'pressure' | 'powerCut' | 'reopen' | 'failBefore' | 'failAfter' };

const lane = fc.constantFrom(...LANES);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      lane,
      events: fc.integer({ min: 1, max: 12 }),
      bytes: fc.integer({ min: 0, max: 300 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      lane,
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'pressure' as const,
        'powerCut' as const,
        'reopen' as const,
        'failBefore' as const,
        'failAfter' as const,
      ),
    }),
  },
);

interface Kept {
  readonly text: string;
  readonly topic: string;
}

class World {
  readonly disk = new MemoryDisk();
  readonly whenFull: WhenFull;
  readonly acknowledged = new Map<Lane, Kept[]>(LANES.map((name) => [name, []]));
  readonly settled = new Map<Lane, number>(LANES.map((name) => [name, 0]));
  storage = new FaultStorage(this.disk.storage());
  freeBytes = 1_000;
  count = 0;
  dropped = 0;
  #log: DurableLog | undefined;

  constructor(whenFull: WhenFull) {
    this.whenFull = whenFull;
  }

  get log(): DurableLog {
    assert.ok(this.#log);
    return this.#log;
  }

  async open(): Promise<void> {
    this.storage = new FaultStorage(this.disk.storage());
    this.#log = await openTestLog(this.storage, {
      bytesMax: 2_500,
      freeBytesMin: 0,
      freeBytes: async () => this.freeBytes,
      whenFull: this.whenFull,
      sinks: [{ id: SINK, start: 'oldest' }],
    });
  }

  async append(name: Lane, events: number, bytes: number): Promise<void> {
    const status = this.log.status();
    if (this.whenFull === 'block' && status.bytes > 2_300) await this.makeRoom();
    const results: Promise<void>[] = [];
    const order: number[] = [];
    const before = this.log.acceptedEvents;
    const lost = this.log.losses.total;
    for (let index = 0; index < events; index++) {
      const number = this.count++;
      const topic = `t/${number % 3}`;
      const text = `${number}:${'x'.repeat(bytes)}`;
      const done = appended(this.log, message(text, topic), name).then(() => order.push(number));
      results.push(done.then(() => undefined));
      this.acknowledged.get(name)?.push({ text, topic });
    }
    await Promise.all(results);
    assert.deepEqual(
      order,
      order.toSorted((a, b) => a - b),
      'acknowledged in the order of append',
    );
    if (this.whenFull !== 'drop_newest') return;
    const refused = events - (this.log.acceptedEvents - before);
    assert.equal(this.log.losses.total - lost, refused, 'what was refused is counted');
    this.acknowledged.get(name)?.splice(-refused || Number.POSITIVE_INFINITY);
  }

  async makeRoom(): Promise<void> {
    for (const name of LANES) this.settle(name, 1);
    await this.log.close();
    await this.open();
  }

  settle(name: Lane, share: number): void {
    const { tail } = this.log.range(name);
    const { offset } = this.log.cursors.get(SINK, name);
    const to = offset + Math.floor((tail - offset) * share);
    settleTo(this.log, SINK, name, to);
    this.settled.set(name, to);
  }

  async check(): Promise<void> {
    const { log } = this;
    for (const name of LANES) {
      const { head, tail } = log.range(name);
      const all = this.acknowledged.get(name) ?? [];
      assert.equal(tail, all.length, `${name}: every offset was given once`);
      const cursor = log.cursors.get(SINK, name);
      if (this.whenFull !== 'drop_oldest') {
        assert.ok(head <= cursor.confirmed.offset, `${name}: nothing unsettled was trimmed`);
      }
      const events = await readAll(log, name, head, 500);
      assert.equal(events.length, tail - head, `${name}: all there from the head on`);
      for (const [index, event] of events.entries()) {
        const wanted = all[head + index];
        assert.equal(event.offset, head + index);
        assert.equal(event.payload.toString(), wanted?.text);
        assert.equal(event.topic, wanted?.topic);
        assert.equal(event.source, 'mqtt');
        assert.ok(Math.abs(event.receivedMs - Date.now()) < 60_000);
      }
      const { offset, start, delivered, filtered, deadLettered, lost } = cursor;
      assert.ok(
        offset <= (this.settled.get(name) ?? 0),
        `${name}: never ahead of what was settled`,
      );
      assert.equal(offset - start, delivered + filtered + deadLettered + lost);
    }
    if (this.whenFull === 'block') assert.equal(log.losses.total, 0);
    assert.ok(this.storage.writingMax <= 1, 'one write at a time');
  }
}

async function take(world: World, next: Step): Promise<void> {
  switch (next.do) {
    case 'append':
      return await world.append(next.lane, next.events, next.bytes);
    case 'settle':
      return world.settle(next.lane, next.share);
    case 'pressure':
      if (world.whenFull === 'block') return await world.makeRoom();
      return await world.append('bulk', 12, 300);
    case 'powerCut':
      world.disk.powerCut();
      return await world.open();
    case 'reopen':
      await world.log.close();
      return await world.open();
    case 'failBefore':
    case 'failAfter': {
      const when = next.do === 'failBefore' ? 'before' : 'after';
      world.storage.onWrite(world.storage.writes + 1, { when, error: systemError('EIO') });
      return await world.append('normal', 3, 10);
    }
  }
}

for (const whenFull of ['block', 'drop_oldest', 'drop_newest'] as const) {
  test(`the log agrees with a list, when_full: ${whenFull}`, async (t) => {
    const seed = chooseSeed();
    t.diagnostic(`seed ${seed}`);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const world = new World(whenFull);
        await world.open();
        for (const next of steps) {
          await take(world, next);
          await world.check();
        }
        await world.log.close();
        await world.open();
        await world.check();
        await world.log.close();
      }),
      { seed, numRuns: RUNS, endOnFailure: true },
    );
  });
}
