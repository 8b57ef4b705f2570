/**
 * Goal: no sequence of appends, reads, settlements, drains, trims, power cuts, restarts, failed
 * writes, damage and pressure loses an acknowledged event or tells a lie about one. Method: the
 * real log on a disk in memory that forgets what was not synced, against a list of what was
 * acknowledged. HOLDFAST_MODEL_RUNS sets how many sequences for each policy (10,000 take some
 * minutes); HOLDFAST_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import { LANES, type Lane } from '../../hub/core/event.ts';
import { sumOfLost } from '../../hub/core/lost-counts.ts';
import type { LaneQueue, Part } from '../../hub/forward/lane-queue.ts';
import { laneQueues } from '../../hub/forward/lane-queues.ts';
import { Pace } from '../../hub/forward/pace.ts';
import { Settlement } from '../../hub/forward/settlement.ts';
import { advanced, gapsIn, settledAhead } from '../../hub/log/cursor-state.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { blockKey } from '../../hub/log/keys.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FaultStorage, MemoryDisk, systemError } from '../support/fault-storage.ts';
import { appended, message, openTestLog, readAll } from '../support/log-fixture.ts';
import { memoryMark } from '../support/memory-mark.ts';
import { chooseSeed } from '../support/seeded-random.ts';

const SINK = 'cloud';
const AGE_MAX_MS = 3_600_000;
const RUNS = Number(process.env['HOLDFAST_MODEL_RUNS'] ?? 100);
type WhenFull = 'block' | 'drop_oldest' | 'drop_newest';

type Step =
  | { readonly do: 'append'; readonly lane: Lane; readonly events: number; readonly bytes: number }
  | { readonly do: 'settle'; readonly lane: Lane; readonly share: number }
  | { readonly do: 'read'; readonly lane: Lane; readonly share: number; readonly bytes: number }
  | { readonly do: 'drain'; readonly lane: Lane; readonly part: Part; readonly batches: number }
  | { readonly do: 'leaveBehind'; readonly lane: Lane }
  | { readonly do: 'age'; readonly ms: number }
  | { readonly do: 'damage'; readonly lane: Lane; readonly how: Damage; readonly share: number }
  | { readonly do: 'pressure' | 'powerCut' | 'reopen' | 'failBefore' | 'failAfter' };
/** A bit of a stored block, a block, or everything since the log was opened. */
type Damage = 'flip' | 'remove' | 'forget';

const lane = fc.constantFrom(...LANES);
const share = fc.double({ min: 0, max: 1, noNaN: true });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      lane,
      share,
      bytes: fc.integer({ min: 1, max: 3_000 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('drain' as const),
      lane,
      part: fc.constantFrom<Part>('live', 'backlog'),
      batches: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leaveBehind' as const), lane }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('age' as const),
      ms: fc.integer({ min: 1_000, max: 2 * AGE_MAX_MS }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('damage' as const),
      lane,
      how: fc.constantFrom<Damage>('flip', 'remove', 'forget'),
      share,
    }),
  },
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
      share,
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
  readonly source: string;
}

const LIMITS = { eventsMax: 5, bytesMax: 1_000 };

class World {
  readonly disk = new MemoryDisk();
  readonly mark = memoryMark();
  readonly clock = new FakeClock();
  readonly whenFull: WhenFull;
  readonly acknowledged = new Map<Lane, Kept[]>(LANES.map((name) => [name, []]));
  readonly settled = new Map<Lane, Set<number>>(LANES.map((name) => [name, new Set()]));
  /** Offsets that were damaged while they were in the log. */
  readonly gone = new Map<Lane, Set<number>>(LANES.map((name) => [name, new Set()]));
  storage = new FaultStorage(this.disk.storage());
  freeBytes = 1_000;
  count = 0;
  /** The ledger went back with everything else: what it knew of damage may be counted again. */
  forgot = false;
  #atOpen = { restore: () => {}, tails: new Map<Lane, number>() };
  #log: DurableLog | undefined;
  #queues: readonly LaneQueue[] = [];

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
      mark: this.mark,
      clock: this.clock,
      bytesMax: 2_500,
      freeBytesMin: 0,
      freeBytes: async () => this.freeBytes,
      whenFull: this.whenFull,
      ageMaxMs: AGE_MAX_MS,
      sinks: [{ id: SINK, start: 'oldest' }],
    });
    this.#queues = this.#newQueues();
    await this.log.checked();
    const tails = new Map(LANES.map((name) => [name, this.log.range(name).tail]));
    this.#atOpen = { restore: this.disk.snapshot(), tails };
  }

  /** What can be read from `offset` on, by the list. */
  expected(name: Lane, offset: number): number[] {
    const { head, tail } = this.log.range(name);
    const gone = this.gone.get(name);
    const offsets: number[] = [];
    for (let next = Math.max(head, offset); next < tail; next++) {
      if (!gone?.has(next)) offsets.push(next);
    }
    return offsets;
  }

  async read(name: Lane, share: number, bytes: number): Promise<void> {
    const { tail } = this.log.range(name);
    const from = Math.floor(tail * share);
    const events = await readAll(this.log, name, from, bytes);
    assert.deepEqual(
      events.map(({ offset }) => offset),
      this.expected(name, from),
    );
  }

  #newQueues(): readonly LaneQueue[] {
    return laneQueues({
      log: this.log,
      settlement: this.#settlement(),
      order: { kind: 'live_first', share: 0.5 },
      pace: new Pace({ limits: LIMITS, requestsMax: 1, clock: this.clock }),
      wanted: () => true,
      holds: () => false,
      partOf: () => 0,
      encodeFirst: () => {},
    });
  }

  #settlement(): Settlement {
    return new Settlement(this.log, SINK, this.clock, 0);
  }

  /** Newer events go ahead of what is there. */
  leaveBehind(name: Lane): void {
    this.#settlement().leaveBehind(name, this.log.range(name).tail);
    this.#queues = this.#newQueues();
  }

  /** What a forwarder does: cuts batches, delivers them, settles them. */
  async drain(name: Lane, part: Part, batches: number): Promise<void> {
    const settlement = this.#settlement();
    const queue = this.#queues.find((one) => one.lane === name && one.part === part);
    for (let batch = 0; batch < batches; batch++) {
      const flight = await queue?.candidate();
      const run = flight?.run;
      if (!run) return;
      queue?.begin();
      for (const { offset, payload } of run.events) {
        assert.equal(payload.toString(), this.acknowledged.get(name)?.[offset]?.text);
      }
      assert.equal(run.to - run.from, run.events.length + run.corrupt + run.dropped);
      queue?.shift();
      await settlement.settle(run, []);
      this.noteSettled(name, run.from, run.to);
    }
  }

  /** Time passes, and the log looks after itself once. What it reports are events of its own. */
  async age(ms: number): Promise<void> {
    const { log } = this;
    this.clock.advance(ms);
    mock.timers.tick(1_000);
    for (let turn = 0; turn < 30; turn++) await new Promise((resolve) => setImmediate(resolve));
    await new Promise<void>((resolve) => log.write([], () => resolve()));
    const alarms = this.acknowledged.get('alarm') ?? [];
    for (const { kind, payload, topic, source } of await readAll(log, 'alarm', alarms.length)) {
      assert.deepEqual([kind, source], ['loss', 'hub']);
      alarms.push({ text: payload.toString(), topic, source });
    }
  }

  /** While nobody has the log open, as a worn card does it. */
  async damage(name: Lane, how: Damage, share: number): Promise<void> {
    const { head, tail } = this.log.range(name);
    const blocks = await this.log.read(name, head, Number.POSITIVE_INFINITY);
    await this.log.close();
    const hit = blocks[Math.floor(share * blocks.length)];
    if (how === 'forget') this.forget();
    else if (hit) {
      const key = blockKey(name, hit.firstOffset);
      if (how === 'flip') this.disk.flip(key, Math.floor(share * 60));
      else await this.disk.storage().write([{ type: 'del', key }], { sync: true });
      for (let index = 0; index < hit.count; index++) {
        this.gone.get(name)?.add(hit.firstOffset + index);
      }
    }
    await this.open();
    assert.equal(this.log.range(name).tail, tail, 'offsets never go back');
  }

  /** LevelDB's newest file is lost: its state is again what it was, and it does not notice. */
  forget(): void {
    this.forgot = true;
    this.#atOpen.restore();
    for (const name of LANES) {
      const { head, tail } = this.log.range(name);
      const from = Math.max(head, this.#atOpen.tails.get(name) ?? 0);
      for (let offset = from; offset < tail; offset++) this.gone.get(name)?.add(offset);
    }
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
      this.acknowledged.get(name)?.push({ text, topic, source: 'mqtt' });
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
    const cursor = this.log.cursors.get(SINK, name);
    const to = cursor.offset + Math.floor((tail - cursor.offset) * share);
    const counts = advanced(cursor, to);
    this.log.settled(SINK, name, { ...cursor, ...counts, confirmed: counts });
    this.noteSettled(name, cursor.offset, to);
    this.#queues = this.#newQueues();
  }

  noteSettled(name: Lane, from: number, to: number): void {
    for (let offset = from; offset < to; offset++) this.settled.get(name)?.add(offset);
  }

  checkLedger(): void {
    const lost = [...this.log.losses.entries()];
    const corrupt = lost.filter(({ reason }) => reason === 'corrupt');
    const counted = sumOf(corrupt, ({ events }) => events);
    const gone = sumOf(this.gone.values(), ({ size }) => size);
    if (!this.forgot) assert.equal(counted, gone, 'what was damaged is counted once');
    const kept = sumOf(LANES, (name) => {
      const { head } = this.log.range(name);
      return [...(this.gone.get(name) ?? [])].filter((offset) => offset >= head).length;
    });
    assert.ok(kept <= counted && counted <= gone, `${kept} <= ${counted} <= ${gone}`);
    if (this.whenFull === 'block') assert.equal(this.log.losses.total, counted);
    const received = sumOf(this.log.received.entries(), ({ events }) => events);
    const refused = sumOf(LANES, (name) => this.log.received.refused[name]);
    assert.equal(received, this.log.acceptedEvents + refused, 'all have come from somewhere');
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
      assert.deepEqual(
        events.map((event) => event.offset),
        this.expected(name, head),
        `${name}: all there from the head on`,
      );
      for (const event of events) {
        const wanted = all[event.offset];
        assert.equal(event.payload.toString(), wanted?.text);
        assert.equal(event.topic, wanted?.topic);
        assert.equal(event.source, wanted?.source);
        assert.ok(event.receivedMs <= this.clock.wallMs());
      }
      const { offset, start, delivered, filtered, deadLettered, thinned, lost } = cursor;
      const gaps = gapsIn(cursor, 0, tail);
      for (let at = 0; at < tail; at++) {
        const isSettled = !gaps.some(({ from, to }) => at >= from && at < to);
        if (!isSettled) continue;
        assert.ok(this.settled.get(name)?.has(at), `${name}: never ahead of what was settled`);
      }
      assert.equal(
        offset - start + settledAhead(cursor),
        delivered + filtered + deadLettered + thinned + sumOfLost(lost),
      );
    }
    this.checkLedger();
    assert.ok(this.storage.writingMax <= 1, 'one write at a time');
  }
}

function sumOf<Item>(items: Iterable<Item>, size: (item: Item) => number): number {
  return [...items].reduce((sum, item) => sum + size(item), 0);
}

async function take(world: World, next: Step): Promise<void> {
  switch (next.do) {
    case 'append':
      return await world.append(next.lane, next.events, next.bytes);
    case 'settle':
      return world.settle(next.lane, next.share);
    case 'read':
      return await world.read(next.lane, next.share, next.bytes);
    case 'drain':
      return await world.drain(next.lane, next.part, next.batches);
    case 'leaveBehind':
      return world.leaveBehind(next.lane);
    case 'age':
      return await world.age(next.ms);
    case 'damage':
      return await world.damage(next.lane, next.how, next.share);
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

mock.timers.enable({ apis: ['setInterval'] });

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
