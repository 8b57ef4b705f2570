import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HubError } from '../../hub/core/errors.ts';
import { LANES, type Lane } from '../../hub/core/event.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/fault-storage.ts';
import {
  appendBlocks,
  appended,
  message,
  openTestLog,
  readAll,
  settleTo,
} from '../support/log-fixture.ts';
import { until } from '../support/until.ts';

const SINKS = [{ id: 'cloud', start: 'oldest' }] as const;
const DAY_MS = 86_400_000;
const TEN_YEARS_MS = 3_652 * DAY_MS;
const CAPACITY = 2_000;

async function fill(log: DurableLog, lane: Lane = 'normal'): Promise<void> {
  while (!log.status().full) await appendBlocks(log, 1, 2, lane);
}

test('block: acknowledgements are held while it is full, and come in order when a sink moves on', async () => {
  const log = await openTestLog(new MemoryDisk().storage(), { bytesMax: CAPACITY, sinks: SINKS });
  await fill(log);
  const { tail } = log.range('normal');
  const order: number[] = [];
  const held = [0, 1, 2, 3, 4].map(async (number) => {
    await appended(log, message(number), number === 2 ? 'alarm' : 'normal');
    order.push(number);
  });
  await held[2]; // alarms have a share of their own
  settleTo(log, 'cloud', 'normal', 1); // not a whole block: no room yet
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(order, [2]);
  assert.equal(log.waiting, 4);
  assert.equal(log.status().full, true);
  settleTo(log, 'cloud', 'normal', tail);
  await Promise.all(held);
  assert.deepEqual(order, [2, 0, 1, 3, 4]);
  assert.equal(log.losses.total, 0);
  await log.close();
});

test('block: who waits for room when the hub stops is refused, after those accepted before', async () => {
  const log = await openTestLog(new MemoryDisk().storage(), {
    bytesMax: CAPACITY,
    sinks: SINKS,
    profile: 'balanced',
  });
  const answers: (string | undefined)[] = [];
  const note = (error?: HubError) => answers.push(error?.code);
  await fill(log);
  log.write([], note);
  for (let number = 0; number < 3; number++) log.append(message(number), 'normal', note);
  await log.close();
  assert.deepEqual(answers, [undefined, 'LOG_CLOSED', 'LOG_CLOSED', 'LOG_CLOSED']);
});

test('drop_oldest: bulk gives way first, then normal, then alarm; kept + lost = accepted', async () => {
  const log = await openTestLog(new MemoryDisk().storage(), {
    bytesMax: CAPACITY,
    whenFull: 'drop_oldest',
    sinks: SINKS,
  });
  for (const lane of LANES) await appendBlocks(log, 4, 2, lane);
  const lanesThatLost: string[] = [];
  for (let round = 0; round < 60; round++) {
    await appendBlocks(log, 1, 2, 'alarm');
    for (const { lane } of log.losses.entries()) {
      if (!lanesThatLost.includes(lane)) lanesThatLost.push(lane);
    }
    if (lanesThatLost.length === 1) assert.equal(log.range('normal').head, 0);
    if (lanesThatLost.length === 2) assert.equal(log.range('alarm').head, 0);
  }
  assert.deepEqual(lanesThatLost, ['bulk', 'normal', 'alarm']);
  await until('it has given way', () => !log.status().full);
  const kept = log.status().events;
  assert.equal(kept + log.losses.total, log.acceptedEvents);
  assert.ok(kept > 0);
  await log.close();
});

test('drop_oldest: what every sink had settled is not a loss', async () => {
  const log = await openTestLog(new MemoryDisk().storage(), {
    bytesMax: CAPACITY,
    whenFull: 'drop_oldest',
    sinks: SINKS,
  });
  for (let round = 0; round < 60; round++) {
    await appendBlocks(log, 1, 2);
    settleTo(log, 'cloud', 'normal', log.range('normal').tail);
  }
  assert.ok(log.range('normal').head > 0);
  assert.equal(log.losses.total, 0);
  await log.close();
});

test('drop_newest: refused, counted, acknowledged in turn, and the count survives a power cut', async () => {
  const disk = new MemoryDisk();
  const options = { bytesMax: CAPACITY, whenFull: 'drop_newest', sinks: SINKS } as const;
  const log = await openTestLog(disk.storage(), options);
  await fill(log);
  const { acceptedEvents } = log;
  const order: string[] = [];
  log.write([], () => order.push('earlier'));
  await Promise.all(
    [1, 2, 3].map((number) => appended(log, message(number)).then(() => order.push('dropped'))),
  );
  assert.deepEqual(order, ['earlier', 'dropped', 'dropped', 'dropped']);
  assert.equal(log.acceptedEvents, acceptedEvents);
  disk.powerCut();
  const again = await openTestLog(disk.storage(), options);
  assert.deepEqual([...again.losses.entries()], [{ lane: 'normal', reason: 'full', events: 3 }]);
  await again.close();
});

test('free_bytes_min: a full volume holds publishers until there is space again', async () => {
  let freeBytes = 500;
  const log = await openTestLog(new MemoryDisk().storage(), {
    freeBytesMin: 1_000,
    freeBytes: async () => freeBytes,
  });
  let acknowledged = false;
  const held = appended(log, message(1)).then(() => {
    acknowledged = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(acknowledged, false);
  freeBytes = 2_000;
  await until('there is space', () => acknowledged);
  await held;
  await log.close();
});

test('free_bytes_min with drop_oldest gives up what is missing, not the whole log', async () => {
  const disk = new MemoryDisk();
  const filling = await openTestLog(disk.storage(), { sinks: SINKS });
  await appendBlocks(filling, 40, 5);
  const { bytes } = filling.status();
  await filling.close();
  const scarceBytes = 10_000 - bytes / 4;
  let freeBytes = scarceBytes;
  const gaveBack = async () => {
    freeBytes = scarceBytes + bytes - log.status().bytes;
  };
  const log = await openTestLog(
    { ...disk.storage(), compact: gaveBack },
    {
      sinks: SINKS,
      freeBytesMin: 10_000,
      freeBytes: async () => freeBytes,
      whenFull: 'drop_oldest',
    },
  );
  let acknowledged = false;
  log.append(message('new'), 'normal', () => {
    acknowledged = true;
  });
  await until('there is space', () => acknowledged);
  assert.ok(log.range('normal').head > 0);
  assert.ok(log.status().bytes > bytes / 2, `${log.status().bytes} of ${bytes} bytes are left`);
  await log.close();
});

test('a volume that cannot be measured does not stop the hub', async () => {
  const troubles: (string | undefined)[] = [];
  const log = await openTestLog(new MemoryDisk().storage(), {
    freeBytes: () => Promise.reject(new Error('no such volume')),
    observer: { trouble: (problem) => troubles.push(problem) },
  });
  await appended(log, message(1));
  assert.deepEqual(troubles, ['cannot measure the free space: no such volume']);
  await log.close();
});

test('a loss is an event in the alarm lane, also after a restart', async () => {
  const disk = new MemoryDisk();
  const clock = new FakeClock();
  const options = { clock, bytesMax: CAPACITY, whenFull: 'drop_newest', sinks: SINKS } as const;
  const before = await openTestLog(disk.storage(), options);
  await fill(before);
  await Promise.all([1, 2].map((number) => appended(before, message(number))));
  await before.close();
  const log = await openTestLog(disk.storage(), options);
  await until('the loss is reported', () => log.range('alarm').tail === 1);
  const [event] = await readAll(log, 'alarm');
  assert.equal(event?.kind, 'loss');
  assert.equal(event?.topic, 'holdfast/loss');
  assert.deepEqual(JSON.parse(event?.payload.toString() ?? ''), {
    lane: 'normal',
    reason: 'full',
    events: 2,
    firstOffset: null,
    lastOffset: null,
    fromTime: null,
    toTime: null,
    ranges: [],
  });
  await log.close();
});

test('offsets go on where they were when everything has been trimmed', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk.storage(), { ageMaxMs: -1 });
  await appendBlocks(log, 3, 4);
  await until('all is trimmed', () => log.range('normal').head === 12);
  await log.close();
  const again = await openTestLog(disk.storage());
  assert.deepEqual(again.range('normal'), { head: 12, tail: 12 });
  assert.equal(again.acceptedEvents, 12);
  assert.equal(again.status().bytes, 0);
  await again.close();
});

test('the id of a log is its own and stays', async () => {
  const disk = new MemoryDisk();
  const first = await openTestLog(disk.storage());
  await first.close();
  const again = await openTestLog(disk.storage());
  const other = await openTestLog(new MemoryDisk().storage());
  assert.match(first.id, /^[0-9a-f]{10}$/);
  assert.equal(again.id, first.id);
  assert.notEqual(other.id, first.id);
  await again.close();
  await other.close();
});

test('a sink that begins now passes over what is there, one that begins at the oldest does not', async () => {
  const disk = new MemoryDisk();
  const before = await openTestLog(disk.storage());
  await appendBlocks(before, 2, 3);
  await before.close();
  const sinks = [
    { id: 'late', start: 'now' },
    { id: 'all', start: 'oldest' },
  ] as const;
  const log = await openTestLog(disk.storage(), { sinks });
  await appendBlocks(log, 1, 3);
  disk.powerCut();
  const again = await openTestLog(disk.storage(), { sinks });
  assert.equal(again.cursors.get('late', 'normal').offset, 6);
  assert.equal(again.cursors.get('late', 'normal').start, 6);
  assert.equal(again.cursors.get('all', 'normal').offset, 0);
  await again.close();
});

/** Opens the log again under `clock` and answers whether its settled event was trimmed by age. */
async function trimmedByAge(disk: MemoryDisk, clock: FakeClock): Promise<boolean> {
  const log = await openTestLog(disk.storage(), { clock, ageMaxMs: 7 * DAY_MS });
  // two rounds of housekeeping: what a trim is going to do is done by then
  await new Promise((resolve) => setTimeout(resolve, 2_200));
  const { head } = log.range('normal');
  await log.close();
  return head > 0;
}

const AGE_CASES: readonly {
  readonly what: string;
  readonly trimmed: boolean;
  change(clock: FakeClock): void;
  readonly unsyncedBefore?: boolean;
}[] = [
  { what: 'younger than the retention', trimmed: false, change: (c) => c.advance(6 * DAY_MS) },
  { what: 'older than the retention', trimmed: true, change: (c) => c.advance(8 * DAY_MS) },
  { what: 'a jump of +10 years in one boot', trimmed: false, change: (c) => c.jump(TEN_YEARS_MS) },
  {
    what: 'a jump of -10 years in one boot, old enough',
    trimmed: true,
    change(clock) {
      clock.jump(-TEN_YEARS_MS);
      clock.advance(8 * DAY_MS);
    },
  },
  {
    what: 'another boot, both clocks synchronised, old enough',
    trimmed: true,
    change(clock) {
      clock.reboot();
      clock.jump(8 * DAY_MS);
    },
  },
  {
    what: 'another boot that believes it is ten years later, not synchronised',
    trimmed: false,
    change(clock) {
      clock.reboot();
      clock.jump(TEN_YEARS_MS);
      clock.isSynced = false;
    },
  },
  {
    what: 'written when the hub believed it was ten years ago, now synchronised',
    trimmed: false,
    unsyncedBefore: true,
    change(clock) {
      clock.reboot();
      clock.jump(TEN_YEARS_MS);
      clock.isSynced = true;
    },
  },
];

for (const { what, trimmed, change, unsyncedBefore } of AGE_CASES) {
  test(`retention: ${what}: ${trimmed ? 'trimmed' : 'kept'}`, { concurrency: true }, async () => {
    const disk = new MemoryDisk();
    const clock = new FakeClock();
    clock.isSynced = !unsyncedBefore;
    const log = await openTestLog(disk.storage(), { clock });
    await appendBlocks(log, 1, 1);
    await log.close();
    change(clock);
    assert.equal(await trimmedByAge(disk, clock), trimmed);
  });
}
