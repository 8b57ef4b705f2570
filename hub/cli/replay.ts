import { setTimeout as delay } from 'node:timers/promises';
import type { Environment } from '../../config/environment.ts';
import { ERRORS, HubError } from '../core/errors.ts';
import { type ReplayJob, replayEnded } from '../core/status.ts';
import { type HubAddressOptions, type HubClient, hubClient } from './hub-client.ts';
import { timeArgument } from './time.ts';

export interface ReplayOptions extends HubAddressOptions {
  readonly sink: string;
  readonly from: string;
  readonly to: string;
  /** Stay until it has ended. */
  readonly wait: boolean;
  readonly json: boolean;
}

export interface ReplayIo {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
  readonly env: Environment;
  /** In ms since 1970, for relative times. Default: the system's. */
  readonly wallMs?: () => number;
}

const POLL_MS = 500;
/** Without a terminal that overwrites it, progress is a line now and then. */
const LINE_MS = 10_000;
/** A hub that restarts is back in seconds, and goes on with the replay; a Pi boots in a minute. */
const UNREACHABLE_MS_MAX = 300_000;

/**
 * `holdfast replay`: has the running hub send a past range to one sink again. Answers the exit
 * code: 0, or with `--wait` 69 when the replay was cancelled or has failed. Errors: USAGE,
 * SERVICE_UNAVAILABLE, those of the configuration.
 */
export async function replayCommand(options: ReplayOptions, io: ReplayIo): Promise<number> {
  const nowMs = (io.wallMs ?? Date.now)();
  const from = timeArgument('--from', options.from, nowMs);
  const to = timeArgument('--to', options.to, nowMs);
  if (from >= to) throw new HubError('USAGE', '--from is not before --to');
  const client = hubClient(options, io.env);
  const path = `sinks/${encodeURIComponent(options.sink)}/replay`;
  const asked = await client.ask<ReplayJob>('POST', path, { from, to });
  if (!options.json) io.stdout.write(`${requestText(asked)}\n`);
  if (options.wait) {
    const job = await ended(client, path, asked, options.json ? undefined : io.stderr);
    io.stdout.write(options.json ? `${JSON.stringify(job)}\n` : `${resultText(job)}\n`);
    return job.state === 'finished' ? 0 : ERRORS.SERVICE_UNAVAILABLE.exitCode;
  }
  if (options.json) io.stdout.write(`${JSON.stringify(asked)}\n`);
  return 0;
}

/** Follows a replay, also over a restart of the hub. */
async function ended(
  client: HubClient,
  path: string,
  asked: ReplayJob,
  stderr: ReplayIo['stderr'] | undefined,
): Promise<ReplayJob> {
  const progress = new Progress(stderr);
  let heardMs = performance.now();
  for (let job = asked; ; ) {
    if (replayEnded(job.state)) {
      progress.end();
      return job;
    }
    progress.show(progressText(job));
    await delay(POLL_MS);
    try {
      const jobs = await client.ask<readonly ReplayJob[]>('GET', path);
      const found = jobs.find(({ id }) => id === asked.id);
      if (!found) throw new HubError('USAGE', 'the hub does not know this replay any more');
      job = found;
      heardMs = performance.now();
    } catch (error) {
      const waits = error instanceof HubError && error.code === 'SERVICE_UNAVAILABLE';
      if (!waits || performance.now() - heardMs > UNREACHABLE_MS_MAX) throw error;
      progress.show('the hub does not answer: it goes on with the replay when it is back');
    }
  }
}

/** One line that is written over on a terminal. */
export class Progress {
  readonly #stderr: ReplayIo['stderr'] | undefined;
  #shownMs = Number.NEGATIVE_INFINITY;

  constructor(stderr: ReplayIo['stderr'] | undefined) {
    this.#stderr = stderr;
  }

  show(text: string): void {
    if (this.#stderr?.isTTY) this.#stderr.write(`\r\x1b[K${text}`);
    else if (performance.now() - this.#shownMs >= LINE_MS) {
      this.#shownMs = performance.now();
      this.#stderr?.write(`${text}\n`);
    }
  }

  end(): void {
    if (this.#stderr?.isTTY) this.#stderr.write('\r\x1b[K');
  }
}

const counted = (count: number) => count.toLocaleString('en');
const isoTime = (ms: number) => new Date(ms).toISOString();

function requestText({ id, sink, fromMs, toMs, totalEvents }: ReplayJob): string {
  const range = `from ${isoTime(fromMs)} to ${isoTime(toMs)}`;
  return `replay ${id} of sink ${sink}: ${counted(totalEvents)} events ${range}`;
}

function progressText({ state, doneEvents, totalEvents, ...job }: ReplayJob): string {
  if (state === 'queued') return 'waits for the replays before it';
  const percent = totalEvents > 0 ? Math.floor((100 * doneEvents) / totalEvents) : 100;
  const left = job.etaSeconds === null ? '' : `, ${Math.ceil(job.etaSeconds)} s left`;
  const rate = `${counted(Math.round(job.eventsPerSecond))}/s`;
  return `${percent} %, ${counted(doneEvents)} of ${counted(totalEvents)} events, ${rate}${left}`;
}

function resultText({ state, detail, ...job }: ReplayJob): string {
  const parts: readonly (readonly [number, string])[] = [
    [job.refusedEvents, 'refused'],
    [job.missingEvents, 'not in the log any more'],
    [job.thinnedEvents, 'only as a part of aggregates'],
    [job.filteredEvents, 'of other topics or times'],
  ];
  const others = parts.filter(([events]) => events > 0);
  const counts = others.map(([events, what]) => `, ${counted(events)} ${what}`).join('');
  const why = detail === undefined ? '' : `\n${detail}`;
  return `${state}: ${counted(job.replayedEvents)} events sent${counts}${why}`;
}
