/**
 * Goal: hours in which a far side does everything that one can do, with power cuts, leave the
 * ledger exact, devices in order, every event delivered or a dead letter with its true reason, and
 * nothing sent twice but where an answer was lost or the power went before it could be settled.
 * Method: the real forwarder and log on a disk in memory, timers that the test moves, a sink that
 * does harm by the seed, with and without `live_first` and deliveries side by side.
 * HOLDFAST_FORWARDER_SEEDS sets how many seeds, HOLDFAST_FORWARDER_HOURS how long each;
 * HOLDFAST_SEED is the first one.
 */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { type HubEvent, LANES, type Lane } from '../../hub/core/event.ts';
import { sumOfLost } from '../../hub/core/lost-counts.ts';
import type { Forwarder } from '../../hub/forward/forwarder.ts';
import type { CursorState } from '../../hub/log/cursor-state.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { afterTest } from '../support/after-test.ts';
import { ChaosBook, SETTLED_WITHIN_MS } from '../support/chaos-book.ts';
import { ChaosSink, type ChaosWorld, idOf, poisonText } from '../support/chaos-sink.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { interposed, MemoryDisk } from '../support/fault-storage.ts';
import { append, forwarderOf, SINK_ID } from '../support/forwarding.ts';
import { openTestLog } from '../support/log-fixture.ts';
import { memoryMark } from '../support/memory-mark.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';

const SEEDS = Number(process.env['HOLDFAST_FORWARDER_SEEDS'] ?? 2);
const HOURS = Number(process.env['HOLDFAST_FORWARDER_HOURS'] ?? 0.25);
const STEP_MS = 250;
const HOUR_MS = 3_600_000;
/** Longer than any of them waits when the far side is well again. */
const RECOVERY_MS_MAX = 20 * 60_000;
const MISCHIEF = 0.5;
const POISON_SHARE = 0.004;
const CUTS_AN_HOUR = 12;
const OUTAGES_AN_HOUR = 6;
const OUTAGE_MS_MAX = 5 * 60_000;
const DEVICES = 5;
/** So many turns of the event loop without a touch of the disk, and nothing is under way. */
const QUIET_TURNS = 8;
/** The sink holds no timer, and no turn ever ends: something spins. */
const TURNS_MAX = 20_000;

type LaneCursor = CursorState & { readonly lane: Lane };

function covers({ offset, ahead }: LaneCursor, event: number): boolean {
  return event < offset || ahead.some(({ from, to }) => event >= from && event < to);
}

class Simulation {
  readonly clock = new FakeClock();
  readonly random: () => number;
  readonly world: ChaosWorld;
  /** Ids of poison events that the far side was asked to take. */
  readonly refused = new Set<string>();
  readonly done = new Map<string, number>();
  readonly appended: Record<Lane, number> = { alarm: 0, normal: 0, bulk: 0 };
  readonly poison: Record<Lane, number> = { alarm: 0, normal: 0, bulk: 0 };
  cuts = 0;
  readonly #disk = new MemoryDisk();
  readonly #mark = memoryMark();
  readonly #tuning;
  #touched = 0;
  /** Of the last steps, the oldest first: as long as it takes until a cursor is written. */
  #settled: (readonly LaneCursor[])[] = [];
  #log: DurableLog | undefined;
  #forwarder: Forwarder | undefined;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    const { random, clock } = this;
    const chance = (): number => random();
    this.world = {
      book: new ChaosBook(),
      nowMs: () => clock.monotonicMs(),
      random,
      isPoison: (event: HubEvent) => {
        const isPoison = event.payload.includes('poison');
        if (isPoison) this.refused.add(idOf(event));
        return isPoison;
      },
      mischief: MISCHIEF,
      downUntilMs: 0,
      life: 0,
      note: (what) => void this.done.set(what, (this.done.get(what) ?? 0) + 1),
    };
    this.#tuning = {
      clock,
      random,
      order:
        chance() < 0.5
          ? ({ kind: 'oldest_first' } as const)
          : ({ kind: 'live_first', share: 0.1 + 0.5 * chance() } as const),
      requestsMax: chance() < 0.5 ? 1 : 8,
      batch: {
        eventsMax: 1 + Math.floor(60 * chance()),
        bytesMax: 1024 ** 2,
        lingerMs: chance() < 0.5 ? 0 : 1_000,
      },
      retry: { delayMinMs: 1_000, delayMaxMs: 30_000, attemptsMax: 50 },
      deadlineMs: 30_000,
      partOf: ({ topic }: HubEvent) => Number(/\d+/.exec(topic)?.[0] ?? 0),
    };
  }

  get log(): DurableLog {
    assert.ok(this.#log);
    return this.#log;
  }

  get forwarder(): Forwarder {
    assert.ok(this.#forwarder);
    return this.#forwarder;
  }

  describe(): string {
    const { order, requestsMax, batch } = this.#tuning;
    const done = [...this.done].map(([what, count]) => `${what} ${count}`).join(', ');
    const events = LANES.map((lane) => this.appended[lane]).join('+');
    return (
      `${order.kind}, ${requestsMax} requests, ${batch.eventsMax} events a batch; ${events} events, ` +
      `${this.refused.size} poison, ${this.world.book.duplicates} again, ${this.cuts} cuts; ${done}`
    );
  }

  async open(): Promise<void> {
    mock.timers.reset();
    mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
    const disk = this.#disk.storage();
    this.#log = await openTestLog(this.#counted(disk), {
      mark: this.#mark,
      clock: this.clock,
      sinks: [{ id: SINK_ID, start: 'oldest' }],
    });
    await this.log.checked();
    const { life } = this.world; // what still runs of an earlier one may make sinks
    const make = () => new ChaosSink(this.world, life);
    this.#forwarder = forwarderOf(this.log, make(), {
      ...this.#tuning,
      reopen: async () => make(),
    });
    await this.forwarder.start();
  }

  async powerCut(): Promise<void> {
    const nowMs = this.clock.monotonicMs();
    const written = this.#settled[0];
    const isSettled = (lane: string, offset: number) =>
      written?.some((cursor) => cursor.lane === lane && covers(cursor, offset)) ?? false;
    this.world.book.killed({ beginMs: nowMs, endMs: nowMs, isSettled });
    this.#settled = [];
    this.#disk.powerCut();
    this.world.life++;
    this.cuts++;
    this.clock.advance(STEP_MS);
    await this.open();
  }

  async publish(lane: Lane, count: number): Promise<void> {
    const topics = Array.from({ length: count }, () => {
      return `site/a/dev${Math.floor(this.random() * DEVICES)}/${lane}`;
    });
    for (const topic of topics) {
      const isPoison = this.random() < POISON_SHARE;
      await append(this.log, [topic], lane, Buffer.from(isPoison ? 'poison' : '1'));
      this.appended[lane]++;
      if (isPoison) this.poison[lane]++;
    }
  }

  /** Time passes, and whatever is due then happens. */
  async step(): Promise<void> {
    this.clock.advance(STEP_MS);
    mock.timers.tick(STEP_MS);
    this.#settled.push(LANES.map((lane) => ({ lane, ...this.log.cursors.get(SINK_ID, lane) })));
    if (this.#settled.length > SETTLED_WITHIN_MS / STEP_MS) this.#settled.shift();
    let quiet = 0;
    for (let turn = 0; quiet < QUIET_TURNS; turn++) {
      assert.ok(turn < TURNS_MAX, 'something spins');
      const before = this.#touched + this.#answers();
      await new Promise((resolve) => setImmediate(resolve));
      quiet = before === this.#touched + this.#answers() ? quiet + 1 : 0;
    }
  }

  #answers(): number {
    let sum = 0;
    for (const count of this.done.values()) sum += count;
    return sum;
  }

  #counted(inner: ReturnType<MemoryDisk['storage']>) {
    const counted =
      <Arguments extends unknown[], Result>(call: (...given: Arguments) => Result) =>
      (...given: Arguments): Result => {
        this.#touched++;
        return call(...given);
      };
    return interposed(inner, {
      get: counted(inner.get),
      last: counted(inner.last),
      write: counted(inner.write),
    });
  }
}

/** A quarter of a simulated hour of harm, traffic all the time, then calm. */
async function live(simulation: Simulation): Promise<void> {
  const { clock, random, world } = simulation;
  const perStep = STEP_MS / HOUR_MS;
  const endMs = clock.monotonicMs() + HOURS * HOUR_MS;
  await simulation.open();
  for (let step = 0; clock.monotonicMs() < endMs; step++) {
    await simulation.step();
    if (step % 4 === 0) await simulation.publish('normal', 1 + Math.floor(random() * 4));
    if (random() < 0.05) await simulation.publish('bulk', 1 + Math.floor(random() * 20));
    if (random() < 0.01) await simulation.publish('alarm', 1);
    if (random() < OUTAGES_AN_HOUR * perStep)
      world.downUntilMs = clock.monotonicMs() + random() * OUTAGE_MS_MAX;
    if (random() < CUTS_AN_HOUR * perStep) await simulation.powerCut();
  }
  world.mischief = 0;
  world.downUntilMs = 0;
  const calmMs = clock.monotonicMs();
  while (simulation.forwarder.status().lagEvents > 0) {
    const waitedMs = clock.monotonicMs() - calmMs;
    assert.ok(waitedMs < RECOVERY_MS_MAX, 'it does not recover from what has passed');
    await simulation.step();
  }
}

async function check({ log, forwarder, world, ...counted }: Simulation): Promise<void> {
  assert.deepEqual(world.book.problems, []);
  for (const lane of LANES) {
    const { tail } = log.range(lane);
    assert.ok(tail >= counted.appended[lane]); // the hub has things to say of its own
    const cursor = log.cursors.get(SINK_ID, lane);
    const { offset, start, delivered, filtered, deadLettered, thinned, lost, ahead } = cursor;
    const poison = counted.poison[lane];
    const rest = { filtered, thinned, lost: sumOfLost(lost), ahead };
    assert.deepEqual(
      { start, offset, delivered, deadLettered, ...rest },
      {
        ...{ start: 0, offset: tail, delivered: tail - poison, deadLettered: poison },
        ...{ filtered: 0, thinned: 0, lost: 0, ahead: [] },
      },
      lane,
    );
    assert.equal(world.book.count(lane), delivered, `${lane}: delivered is what the far side has`);
  }
  const query = { order: 'oldest', after: undefined, limit: 10_000 } as const;
  const found = await forwarder.deadLetters.page(query, (letter) => letter);
  const ids = found.map(({ event }) => idOf(event));
  assert.deepEqual(ids.sort(), [...counted.refused].sort());
  for (const { event, reason } of found) {
    assert.ok(reason.includes(poisonText(event)), `${idOf(event)} is there for: ${reason}`);
  }
}

test('model: hours of chaos leave every book exact', async (t) => {
  const first = chooseSeed();
  t.diagnostic(`seed ${first}, ${SEEDS} of them, ${HOURS} h each`);
  afterTest(t, () => mock.timers.reset());
  for (let seed = first; seed < first + SEEDS; seed++) {
    const simulation = new Simulation(seed);
    try {
      await live(simulation);
      await check(simulation);
    } catch (error) {
      t.diagnostic(`seed ${seed}: ${simulation.describe()}`);
      throw error;
    }
    if (SEEDS <= 10) t.diagnostic(simulation.describe());
    mock.timers.reset();
  }
});
