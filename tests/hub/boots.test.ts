import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Clock, ClockState, ClockSync } from '../../hub/core/clock.ts';
import { BOOT_RANGE, bootKey } from '../../hub/log/keys.ts';
import type { BlockStamps } from '../../hub/log/time/boot-table.ts';
import { type Boots, loadBoots } from '../../hub/log/time/boots.ts';
import { MemoryDisk } from '../support/fault-storage.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** True time, a crystal that is a little off, and a wall clock that may be far off. */
class Machine implements Clock {
  truthMs = Date.UTC(2026, 5, 1);
  bootId = 'b0';
  state: ClockState = 'unsynced';
  #boots = 0;
  #monotonicMs = 5_000;
  #offsetMs: number;
  #ppm = 0;

  constructor(behindMs: number) {
    this.#offsetMs = this.truthMs - behindMs - this.#monotonicMs;
  }

  wallMs(): number {
    return Math.floor(this.#monotonicMs + this.#offsetMs);
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  synced(): boolean {
    return this.state === 'synced';
  }

  sync(): ClockSync {
    return { state: this.state };
  }

  run(ms: number): void {
    this.truthMs += ms;
    this.#monotonicMs += ms * (1 + this.#ppm / 1e6);
    // what is synchronised is steered: it stays where it was beside the truth
    if (this.synced()) this.#offsetMs -= (ms * this.#ppm) / 1e6;
  }

  set(wallMs: number): void {
    this.#offsetMs = wallMs - this.#monotonicMs;
  }

  reboot(offMs: number, behindMs: number, ppm: number): void {
    this.truthMs += offMs;
    this.bootId = `b${++this.#boots}`;
    this.#monotonicMs = 4_000 + (ppm + 50) * 10;
    this.#ppm = ppm;
    this.state = 'unsynced';
    this.set(this.truthMs - behindMs);
  }
}

interface Stamp {
  readonly bootId: string;
  readonly monotonicMs: number;
  readonly wallMs: number;
  readonly synced: boolean;
  readonly truthMs: number;
}

function headerOf({ bootId, monotonicMs, wallMs, synced }: Stamp): BlockStamps {
  return {
    firstReceivedMs: wallMs,
    lastReceivedMs: wallMs,
    firstMonotonicMs: monotonicMs,
    clockSynced: synced,
    bootId,
  };
}

/** The table as the log uses it: looked at every second, and what changed rides with events. */
class Rig {
  readonly machine: Machine;
  readonly stamps: Stamp[] = [];
  readonly disk: MemoryDisk;
  boots: Boots;

  constructor(machine: Machine, disk: MemoryDisk, boots: Boots) {
    this.machine = machine;
    this.disk = disk;
    this.boots = boots;
  }

  static async start(behindMs: number): Promise<Rig> {
    const machine = new Machine(behindMs);
    const disk = new MemoryDisk();
    return new Rig(machine, disk, await loadBoots(disk.storage(), machine, []));
  }

  /** The hub begins again, in this boot or the next, with what was written. */
  async reopen(): Promise<void> {
    const last = this.stamps.at(-1);
    this.boots = await loadBoots(this.disk.storage(), this.machine, last ? [headerOf(last)] : []);
  }

  async save(): Promise<void> {
    await this.disk.storage().write(this.boots.takeOperations(), { sync: true });
  }

  /** Time passes; what is looked at every second is looked at before its end. */
  run(ms: number): void {
    this.machine.run(Math.max(0, ms - 10));
    this.boots.look();
    this.machine.run(Math.min(ms, 10));
  }

  async event(): Promise<void> {
    const { stamping } = this.boots;
    const monotonicMs = stamping.monotonicMs();
    const stamp = { monotonicMs, wallMs: stamping.wallMs(), synced: stamping.synced() };
    this.stamps.push({ ...stamp, bootId: this.machine.bootId, truthMs: this.machine.truthMs });
    await this.save();
  }

  times() {
    return this.stamps.map((stamp) => {
      const time = this.boots.timeOf(stamp, stamp.wallMs, stamp.synced);
      return { ...time, truthMs: stamp.truthMs, bootId: stamp.bootId };
    });
  }
}

type Action =
  | { readonly do: 'events'; readonly count: number; readonly everyMs: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'set'; readonly byMs: number }
  | { readonly do: 'sync'; readonly errorMs: number; readonly noticedAfterMs: number }
  | { readonly do: 'lose'; readonly noticedAfterMs: number }
  | { readonly do: 'slew'; readonly errorMs: number }
  | { readonly do: 'restart' }
  | {
      readonly do: 'reboot';
      readonly offMs: number;
      readonly behindMs: number;
      readonly ppm: number;
    };

/** Synchronised clocks are within this of the truth. */
const ERROR_MS = 60;
const error = fc.integer({ min: -ERROR_MS, max: ERROR_MS });
/** A Pi's clock starts in the past; a broken battery clock can be ahead as well. */
const behind = fc.oneof(
  fc.integer({ min: 0, max: 40 * DAY_MS }),
  fc.integer({ min: -40 * DAY_MS, max: 0 }),
  fc.constant(30 * 365 * DAY_MS),
  fc.constant(0),
);

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('events' as const),
      count: fc.integer({ min: 1, max: 4 }),
      everyMs: fc.integer({ min: 0, max: 2 * MINUTE_MS }),
    }),
  },
  fc.record({ do: fc.constant('wait' as const), ms: fc.nat(20 * MINUTE_MS) }),
  fc.record({ do: fc.constant('set' as const), byMs: fc.integer({ min: -DAY_MS, max: DAY_MS }) }),
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('sync' as const),
      errorMs: error,
      noticedAfterMs: fc.nat(6 * SECOND_MS),
    }),
  },
  fc.record({ do: fc.constant('lose' as const), noticedAfterMs: fc.nat(MINUTE_MS) }),
  fc.record({ do: fc.constant('slew' as const), errorMs: error }),
  fc.record({ do: fc.constant('restart' as const) }),
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('reboot' as const),
      offMs: fc.oneof(fc.nat(MINUTE_MS), fc.nat(30 * DAY_MS)),
      behindMs: behind,
      ppm: fc.integer({ min: -30, max: 30 }),
    }),
  },
);

async function perform(rig: Rig, action: Action): Promise<void> {
  const { machine } = rig;
  switch (action.do) {
    case 'events':
      for (let event = 0; event < action.count; event++) {
        rig.run(action.everyMs);
        await rig.event();
      }
      return;
    case 'wait':
      rig.run(action.ms);
      return;
    case 'set': // by hand: a clock that was synchronised is not any more, and the watch sees it
      machine.state = 'unsynced';
      machine.set(machine.wallMs() + action.byMs);
      return;
    case 'sync':
      machine.set(machine.truthMs + action.errorMs);
      await rig.event(); // stamped right, but nobody knows yet
      rig.run(action.noticedAfterMs);
      machine.state = 'synced';
      return;
    case 'lose':
      rig.run(action.noticedAfterMs);
      machine.state = 'unsynced';
      return;
    case 'slew':
      if (machine.synced()) machine.set(machine.truthMs + action.errorMs);
      return;
    case 'restart':
      await rig.reopen();
      return;
    case 'reboot':
      machine.reboot(action.offMs, action.behindMs, action.ppm);
      await rig.reopen();
      return;
  }
}

/** Whatever has happened: order is kept, what is sure is right, what is not is bounded. */
function assertTimes(rig: Rig): void {
  const times = rig.times();
  for (const [index, { receivedMs, timeQuality, truthMs }] of times.entries()) {
    const before = times[index - 1];
    assert.ok(!before || before.receivedMs <= receivedMs, `event ${index} is before the last one`);
    if (timeQuality !== 'estimated') {
      const offMs = receivedMs - truthMs;
      assert.ok(Math.abs(offMs) <= SECOND_MS, `event ${index}, ${timeQuality}, is off by ${offMs}`);
    }
  }
  const sureBoots = new Set(
    times.filter(({ timeQuality }) => timeQuality === 'corrected').map(({ bootId }) => bootId),
  );
  const estimated = times.find(
    ({ bootId, timeQuality }) => timeQuality === 'estimated' && sureBoots.has(bootId),
  );
  assert.equal(estimated, undefined, 'a boot is corrected as a whole');
}

test('times are in order, and within a second of the truth or bounded, whatever clocks did', async () => {
  const runs = Number(process.env['HOLDFAST_RUNS'] ?? 400);
  await fc.assert(
    fc.asyncProperty(behind, fc.array(action, { maxLength: 14 }), async (behindMs, actions) => {
      const rig = await Rig.start(behindMs);
      for (const action of actions) {
        await perform(rig, action);
        assertTimes(rig);
      }
      await rig.event();
      assertTimes(rig);
    }),
    { numRuns: runs },
  );
});

/** Events every minute, with what their times are off by once everything is known, in ms. */
async function minuteEvents(rig: Rig, count: number): Promise<void> {
  for (let event = 0; event < count; event++) {
    await rig.event();
    rig.run(MINUTE_MS);
  }
}

const offs = (rig: Rig) => rig.times().map(({ receivedMs, truthMs }) => receivedMs - truthMs);

test('30 days in the past, an hour without sync: then every event has its own true minute', async () => {
  const rig = await Rig.start(30 * DAY_MS);
  await minuteEvents(rig, 60);
  assert.deepEqual(new Set(offs(rig)), new Set([-30 * DAY_MS]));
  assert.ok(rig.boots.isProvisional({ bootId: 'b0', timeQuality: 'estimated' }));
  rig.machine.set(rig.machine.truthMs);
  rig.machine.state = 'synced';
  rig.boots.look();
  assert.deepEqual(new Set(offs(rig)), new Set([0]));
  assert.deepEqual(
    new Set(rig.times().map(({ timeQuality }) => timeQuality)),
    new Set(['corrected']),
  );
  assert.equal(rig.boots.facts.offsetMs, 30 * DAY_MS);
  await rig.event();
  assert.equal(rig.times().at(-1)?.timeQuality, 'synced');
});

test('a boot that was never synchronised keeps its durations between its neighbours', async () => {
  for (const behindMs of [400 * DAY_MS, -400 * DAY_MS, 0]) {
    const rig = await Rig.start(0);
    rig.machine.state = 'synced';
    await minuteEvents(rig, 3);
    rig.machine.reboot(MINUTE_MS, behindMs, 0);
    await rig.reopen();
    await minuteEvents(rig, 10);
    rig.machine.reboot(30 * MINUTE_MS, 0, 0);
    await rig.reopen();
    const before = rig.times().slice(3);
    assert.ok(before.every(({ timeQuality }) => timeQuality === 'estimated'));
    assert.ok(rig.boots.isProvisional({ bootId: 'b1', timeQuality: 'estimated' }));
    rig.machine.state = 'synced';
    await rig.event();
    assert.ok(!rig.boots.isProvisional({ bootId: 'b1', timeQuality: 'estimated' }));
    const times = rig.times();
    const [first, ...later] = times.slice(3, 13).map(({ receivedMs }) => receivedMs);
    assert.ok(first !== undefined && first >= (times[2]?.receivedMs ?? 0));
    assert.ok((later.at(-1) ?? 0) <= (times[13]?.receivedMs ?? 0));
    for (const [index, time] of later.entries())
      assert.equal(time - first, (index + 1) * MINUTE_MS);
  }
});

test('what the crystal lost while the time server was away is shared out when it is back', async () => {
  const rig = await Rig.start(0);
  rig.machine.reboot(0, 0, 80);
  rig.machine.state = 'synced';
  await rig.reopen();
  await rig.event();
  rig.machine.state = 'unsynced';
  await minuteEvents(rig, 600); // ten hours at 80 ppm are 2.9 s
  assert.ok((offs(rig).at(-1) ?? 0) > 2_500);
  rig.machine.set(rig.machine.truthMs);
  rig.machine.state = 'synced';
  await rig.event();
  assert.ok(
    offs(rig).every((off) => Math.abs(off) <= 20),
    String(offs(rig).filter((off) => off)),
  );
});

test('a clock that is slewed while synchronised is followed, forwards and backwards', async () => {
  const rig = await Rig.start(0);
  rig.machine.state = 'synced';
  await rig.event();
  for (const sign of [1, -1]) {
    for (let round = 0; round < 50; round++) {
      rig.run(10 * SECOND_MS);
      rig.machine.set(rig.machine.wallMs() + sign * 40);
      await rig.event();
      const { receivedMs } = rig.times().at(-1) ?? { receivedMs: 0 };
      assert.ok(Math.abs(receivedMs - rig.machine.wallMs()) <= 101);
    }
  }
  const times = rig.times().map(({ receivedMs }) => receivedMs);
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
});

test('where nothing tells, an impossible clock is waited for, and forgotten when it is set', async () => {
  const rig = await Rig.start(20 * 365 * DAY_MS);
  rig.machine.state = 'unknown';
  assert.equal(rig.boots.facts.state, 'unsynced');
  await minuteEvents(rig, 5);
  rig.machine.set(rig.machine.truthMs);
  await rig.event();
  assert.equal(rig.boots.facts.state, 'unknown');
  assert.ok(rig.times().every(({ timeQuality }) => timeQuality === 'estimated'));
  assert.deepEqual(new Set(offs(rig)), new Set([0]));
});

test('a clock behind what the log knows for sure is impossible too', async () => {
  const rig = await Rig.start(0);
  rig.machine.state = 'synced';
  await rig.event();
  rig.machine.reboot(MINUTE_MS, DAY_MS, 0);
  rig.machine.state = 'unknown';
  await rig.reopen();
  assert.equal(rig.boots.facts.state, 'unsynced');
});

test('a synchronisation that lied does not push later boots into the future', async () => {
  const rig = await Rig.start(-3_650 * DAY_MS);
  rig.machine.state = 'synced';
  await minuteEvents(rig, 3);
  rig.machine.reboot(MINUTE_MS, 0, 0);
  rig.machine.state = 'synced';
  await rig.reopen();
  await rig.event();
  const times = rig.times();
  assert.equal(times.at(-1)?.receivedMs, rig.machine.truthMs);
  assert.ok(times.every(({ receivedMs }) => receivedMs <= rig.machine.truthMs));
});

test('a damaged entry makes a boot unknown: its events keep what they were stamped with', async () => {
  const rig = await Rig.start(30 * DAY_MS);
  await minuteEvents(rig, 2);
  rig.machine.set(rig.machine.truthMs);
  rig.machine.state = 'synced';
  await rig.event();
  await rig.save();
  rig.machine.reboot(MINUTE_MS, 0, 0);
  rig.disk.flip(bootKey('b0'), 9);
  await rig.reopen();
  assert.deepEqual(
    rig.times().map(({ receivedMs, timeQuality }) => [receivedMs, timeQuality]),
    rig.stamps.map(({ wallMs, synced }) => [wallMs, synced ? 'synced' : 'estimated']),
  );
});

test('what is kept is bounded: points in a boot, and boots without blocks', async () => {
  const rig = await Rig.start(0);
  for (let step = 1; step <= 500; step++) {
    rig.machine.set(rig.machine.wallMs() + (step % 2 === 0 ? 5 : -3) * MINUTE_MS);
    rig.run(SECOND_MS);
    await rig.event();
  }
  const [, entry] = (await rig.disk.storage().last(BOOT_RANGE)) ?? [];
  assert.ok(entry && entry.length < 64 * 40, `${entry?.length} bytes`);
  for (let boot = 0; boot < 100; boot++) {
    rig.machine.reboot(MINUTE_MS, 0, 0);
    await rig.reopen();
    await rig.event();
    const owner = rig.stamps[Math.max(0, 60 - boot)];
    rig.boots.prune(owner && boot < 60 ? [headerOf(owner)] : []);
    await rig.save();
    if (boot === 59) assert.equal(rig.disk.keys(BOOT_RANGE).length, 61, 'all own blocks');
  }
  assert.equal(rig.disk.keys(BOOT_RANGE).length, 32);
});
