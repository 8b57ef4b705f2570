/**
 * Opens damaged data directories that its parent names, one after another, and answers what is left
 * of them. A process of its own, because some damage makes LevelDB end the process.
 */
import { join } from 'node:path';
import { LANES, type Lane } from '../../hub/core/event.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { markFile } from '../../hub/log/mark.ts';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import { DAMAGE_SINKS, payloadOf } from '../support/damage-oracle.ts';
import { appended, message, openTestLog, readAll } from '../support/log-fixture.ts';

/** Of events that came after the damage. */
const LATER_TOPIC = 'later';

export interface Remains {
  /** Undefined when it opened. */
  readonly error?: string;
  readonly openMs: number;
  readonly findings: number;
  /** Events read back whose payload is not what was written. */
  readonly wrong: readonly string[];
  /** Offsets read back, by lane, as `[from, to)`. */
  readonly read: Readonly<Record<Lane, readonly (readonly [from: number, to: number])[]>>;
  /** Events the ledger counts as lost, by lane. */
  readonly lost: Readonly<Record<Lane, number>>;
  /** Ranges that are known to be lost, by lane. */
  readonly damaged: Readonly<Record<Lane, readonly (readonly [from: number, to: number])[]>>;
  /** What a new event in each lane got. */
  readonly given: Readonly<Record<Lane, number>>;
}

function byLane<Value>(make: (lane: Lane) => Value): Record<Lane, Value> {
  return { alarm: make('alarm'), normal: make('normal'), bulk: make('bulk') };
}

async function look(folder: string): Promise<Remains> {
  const startedMs = performance.now();
  let findings = 0;
  const log = await openTestLog(
    levelStorage(join(folder, 'log'), { lostFolder: join(folder, 'lost+found') }),
    {
      mark: markFile(join(folder, 'log.mark'), () => undefined),
      sinks: DAMAGE_SINKS,
      observer: { found: () => findings++ },
    },
  );
  const openMs = performance.now() - startedMs;
  try {
    return { openMs, ...(await remainsOf(log)), findings };
  } finally {
    await log.close();
  }
}

async function remainsOf(log: DurableLog) {
  await log.checked();
  const wrong: string[] = [];
  const read = byLane((): [number, number][] => []);
  for (const lane of LANES) {
    for (const { offset, payload, kind, topic } of await readAll(log, lane, log.range(lane).head)) {
      const isLater = kind === 'loss' || topic === LATER_TOPIC;
      if (!isLater && !payload.equals(payloadOf(lane, offset))) wrong.push(`${lane}/${offset}`);
      const last = read[lane].at(-1);
      if (last?.[1] === offset) last[1] = offset + 1;
      else read[lane].push([offset, offset + 1]);
    }
  }
  await log.checked();
  const lost = byLane(() => 0);
  for (const { lane, reason, events } of log.losses.entries()) {
    const known = LANES.find((name) => name === lane);
    if (known && reason === 'corrupt') lost[known] += events;
  }
  const damaged = byLane((lane) =>
    log.damagedRanges(lane).map(({ from, to }): [number, number] => [from, to]),
  );
  const given = byLane((lane) => log.range(lane).tail);
  for (const lane of LANES) await appended(log, message('later', LATER_TOPIC), lane);
  return { wrong, read, lost, damaged, given };
}

process.on('message', (folder: string) => {
  look(folder).then(
    (remains) => process.send?.(remains),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
