// F5: expiry that deletes a good backlog when the clock jumps. Nothing goes too early, whatever the
// wall clock does; and what is old still goes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OldestUnsettled } from '../../hub/forward/oldest-unsettled.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { MemoryDisk } from '../support/fault-storage.ts';
import { appendBlocks, openTestLog } from '../support/log-fixture.ts';

const DAY_MS = 86_400_000;
const THIRTY_YEARS_MS = 30 * 365 * DAY_MS;

/** Long enough for the log to have looked after itself, twice. */
const housekept = () => new Promise((resolve) => setTimeout(resolve, 2_200));

class Rig {
  readonly disk = new MemoryDisk();
  readonly clock = new FakeClock();
  #log: DurableLog | undefined;

  get log(): DurableLog {
    assert.ok(this.#log, 'opened');
    return this.#log;
  }

  async open(): Promise<void> {
    const more = { clock: this.clock, ageMaxMs: 7 * DAY_MS };
    this.#log = await openTestLog(this.disk.storage(), more);
  }

  async boot(change: (clock: FakeClock) => void): Promise<void> {
    await this.#log?.close();
    this.clock.reboot();
    change(this.clock);
    await this.open();
  }

  async restart(): Promise<void> {
    await this.#log?.close();
    await this.open();
  }

  async expired(): Promise<boolean> {
    await housekept();
    return this.log.range('normal').head > 0;
  }
}

type Step = (rig: Rig) => unknown;

/** Each with what is left to happen after one event came in a synchronised boot. */
const CASES: readonly {
  readonly what: string;
  readonly expired: boolean;
  readonly steps: Step[];
}[] = [
  ...[THIRTY_YEARS_MS, -THIRTY_YEARS_MS].flatMap((jumpMs) => {
    const years = jumpMs > 0 ? '+30 years' : '-30 years';
    const jump: Step = ({ clock }) => clock.jump(jumpMs);
    const lose: Step = ({ clock }) => {
      clock.isSynced = false;
    };
    const week: Step = ({ clock }) => clock.advance(8 * DAY_MS);
    const boot: Step = async (rig) => {
      await rig.boot((clock) => clock.jump(60_000));
      rig.clock.advance(1_000);
    };
    const restart: Step = (rig) => rig.restart();
    return [
      { what: `${years}, said to be synchronised`, expired: false, steps: [jump] },
      { what: `${years}, not synchronised`, expired: false, steps: [lose, jump] },
      { what: `${years} and a restart`, expired: false, steps: [jump, restart] },
      { what: `${years} after a restart`, expired: false, steps: [restart, jump] },
      { what: `${years} in the next boot, while running`, expired: false, steps: [boot, jump] },
      {
        what: `${years} in the next boot, not synchronised`,
        expired: false,
        steps: [lose, (rig: Rig) => rig.boot((clock) => clock.jump(jumpMs))],
      },
      {
        what: `${years} and back, in the next boot`,
        expired: false,
        steps: [boot, jump, housekept, ({ clock }: Rig) => clock.jump(-jumpMs)],
      },
      { what: `${years}, then 8 days`, expired: true, steps: [jump, week] },
      {
        what: `${years} in the next boot, then 8 days`,
        expired: true,
        steps: [lose, (rig: Rig) => rig.boot((clock) => clock.jump(jumpMs)), week],
      },
    ];
  }),
  {
    what: '8 days without power, synchronised before and after',
    expired: true,
    steps: [(rig) => rig.boot((clock) => clock.jump(8 * DAY_MS))],
  },
  {
    what: '8 days without power, synchronised only a while after the start',
    expired: true,
    steps: [
      (rig) => {
        rig.clock.isSynced = false;
        return rig.boot(() => {});
      },
      ({ clock }) => {
        clock.jump(8 * DAY_MS);
        clock.isSynced = true;
      },
    ],
  },
  {
    what: 'three boots of three days each that never knew the time',
    expired: true,
    steps: [
      ({ clock }) => {
        clock.isSynced = false;
      },
      ...[1, 2, 3].map(
        (): Step => (rig) =>
          rig
            .boot((clock) => clock.jump(-40 * DAY_MS))
            .then(async () => {
              rig.clock.advance(3 * DAY_MS);
              await appendBlocks(rig.log, 1, 1);
            }),
      ),
    ],
  },
  {
    what: 'two boots of three days each that never knew the time',
    expired: false,
    steps: [
      ({ clock }) => {
        clock.isSynced = false;
      },
      ...[1, 2].map(
        (): Step => (rig) =>
          rig
            .boot((clock) => clock.jump(40 * DAY_MS))
            .then(async () => {
              rig.clock.advance(3 * DAY_MS);
              await appendBlocks(rig.log, 1, 1);
            }),
      ),
    ],
  },
];

test('nothing expires too early, and what is old does', { concurrency: true }, async (t) => {
  await Promise.all(
    CASES.map(({ what, expired, steps }) =>
      t.test(`${what}: ${expired ? 'expired' : 'kept'}`, async () => {
        const rig = new Rig();
        await rig.open();
        await appendBlocks(rig.log, 1, 1);
        for (const step of steps) await step(rig);
        assert.equal(await rig.expired(), expired);
        await rig.log.close();
      }),
    ),
  );
});

test('the age of the oldest event, and how far a sink is behind, do not follow a jump', async () => {
  const rig = new Rig();
  const ageOf = (behind: OldestUnsettled) => {
    return [rig.log.status().oldestAgeMs, behind.ageMs()];
  };
  rig.clock.isSynced = false;
  await rig.open();
  await appendBlocks(rig.log, 1, 1);
  rig.clock.advance(60_000);
  await rig.boot((clock) => clock.jump(THIRTY_YEARS_MS));
  const behind = new OldestUnsettled(rig.log, () => 0);
  behind.ageMs(); // asks the log
  rig.clock.advance(5_000);
  await housekept();
  // the first boot is known to have lasted until its last event, this one for 5 s
  assert.deepEqual(ageOf(behind), [5_000, 5_000]);
  rig.clock.jump(-2 * THIRTY_YEARS_MS);
  await housekept();
  assert.deepEqual(ageOf(behind), [5_000, 5_000]);
  await rig.log.close();
});
