/**
 * A replay at work, for every-step.test.ts: what it does, and what has to hold whenever it is
 * stopped.
 */
import { LANES } from '../../hub/core/event.ts';
import { DELIVERED } from '../../hub/core/sink.ts';
import type { ReplayJob } from '../../hub/core/status.ts';
import { numberedMessage } from '../power-cut/event-payload.ts';
import { openDataFolder } from '../power-cut/open-data-folder.ts';
import { cursorBalance, forwarderOf, offsets, SINK_ID } from '../support/forwarding.ts';
import { appended } from '../support/log-fixture.ts';
import { MemorySink } from '../support/memory-sink.ts';
import { until } from '../support/until.ts';

const SINKS = [{ id: SINK_ID, start: 'oldest' }] as const;
const EVENTS_A_LANE = 60;
/** Small, so that a replay is many steps. */
const BATCH = { eventsMax: 10, bytesMax: 1024 ** 2, lingerMs: 0 };
const ALWAYS = { fromMs: 0, toMs: Date.UTC(2100, 0, 1) };

export interface ReplayWords {
  /** It is durable that it was asked for. */
  requested(id: number): void;
  /** The far side has it, `lane/offset`. */
  replayed(what: string): void;
}

async function delivering(folder: string, replayed: (what: string) => void) {
  const { log } = await openDataFolder(folder, { sinks: SINKS });
  const sink = new MemorySink();
  sink.answer = async ({ replay, events }) => {
    if (replay === undefined) return DELIVERED;
    for (const { lane, offset } of events) replayed(`${lane}/${offset}`);
    // something new with every batch: progress rides along
    await appended(log, numberedMessage('normal', 0));
    return DELIVERED;
  };
  const forwarder = forwarderOf(log, sink, { batch: BATCH });
  await forwarder.start();
  const stop = async () => {
    await forwarder.stop();
    await log.close();
  };
  const drained = () =>
    LANES.every((lane) => log.cursors.get(SINK_ID, lane).offset === log.range(lane).tail);
  return { log, forwarder, drained, stop };
}

export async function prepareReplay(folder: string): Promise<void> {
  const { log, drained, stop } = await delivering(folder, () => {});
  for (let number = 0; number < EVENTS_A_LANE; number++) {
    await Promise.all(LANES.map((lane) => appended(log, numberedMessage(lane, number), lane)));
  }
  await until('delivered', drained);
  await stop();
}

export async function replay(folder: string, words: ReplayWords): Promise<void> {
  const { forwarder, stop } = await delivering(folder, (what) => words.replayed(what));
  const job = await forwarder.replays.request(ALWAYS);
  if (!job) throw new Error('too many replays');
  words.requested(job.id);
  await until('the replay has ended', () => forwarder.replays.job(job.id)?.endedMs !== null);
  await stop();
}

function jobProblems(job: ReplayJob): string[] {
  const { id, state, totalEvents, doneEvents, replayedEvents, refusedEvents } = job;
  const rest = job.missingEvents + job.thinnedEvents + job.filteredEvents;
  const balanced = doneEvents === replayedEvents + refusedEvents + rest;
  if (
    state === 'finished' &&
    balanced &&
    doneEvents === totalEvents &&
    replayedEvents === doneEvents
  )
    return [];
  return [`replay ${id} is ${state}: ${JSON.stringify(job)}`];
}

/** `asked`: the replays that were asked for; `had`: what the far side had of them. */
export async function checkReplay(
  folder: string,
  asked: readonly number[],
  had: readonly string[],
): Promise<string[]> {
  const replayed = new Set(had);
  const { log, forwarder, drained, stop } = await delivering(folder, (what) => replayed.add(what));
  try {
    const jobs = () => forwarder.replays.jobs();
    await until('replays have ended', () => jobs().every(({ endedMs }) => endedMs !== null));
    await until('delivered', drained);
    const problems = jobs().flatMap(jobProblems);
    for (const id of asked) {
      if (!jobs().some((job) => job.id === id)) problems.push(`replay ${id} is forgotten`);
      const wanted = LANES.flatMap((lane) => offsets(0, EVENTS_A_LANE, lane));
      const missing = wanted.filter((what) => !replayed.has(what));
      if (missing.length > 0) problems.push(`${missing.length} were not replayed: ${missing[0]}`);
    }
    if (cursorBalance(log).some((balance) => balance !== 0))
      problems.push('the cursor does not add up');
    return problems;
  } finally {
    await stop();
  }
}
