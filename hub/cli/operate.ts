import type { Environment } from '../../config/environment.ts';
import { HubError } from '../core/errors.ts';
import { LANES } from '../core/event.ts';
import type { SkipResult } from '../core/operation.ts';
import type { SinkStatus } from '../core/status.ts';
import { type HubAddressOptions, hubClient } from './hub-client.ts';
import { timeArgument } from './time.ts';

export interface OperateOptions extends HubAddressOptions {
  readonly sink: string;
  readonly json: boolean;
}

export interface SkipOptions extends OperateOptions {
  /** `now`, or a time. */
  readonly to?: string;
  readonly events?: string;
  readonly lane?: string;
}

export interface OperateIo {
  readonly stdout: { write(text: string): unknown };
  readonly env: Environment;
  /** In ms since 1970, for relative times. Default: the system's. */
  readonly wallMs?: () => number;
}

const counted = (count: number) => count.toLocaleString('en');
const pathOf = (sink: string, word: string) => `sinks/${encodeURIComponent(sink)}/${word}`;

/**
 * `holdfast pause` and `holdfast resume`. Answers the exit code. Errors: USAGE,
 * SERVICE_UNAVAILABLE, those of the configuration.
 */
export async function pauseCommand(
  word: 'pause' | 'resume',
  options: OperateOptions,
  io: OperateIo,
): Promise<number> {
  const client = hubClient(options, io.env);
  const sink = await client.ask<SinkStatus>('POST', pathOf(options.sink, word));
  const waiting = `${counted(sink.lagEvents)} events wait`;
  const text =
    word === 'pause'
      ? `sink ${sink.id} is ${sink.detail ?? sink.state}; ${waiting}, holdfast resume sends them`
      : `sink ${sink.id} goes on: ${sink.state}, ${waiting}`;
  io.stdout.write(options.json ? `${JSON.stringify(sink)}\n` : `${text}\n`);
  return 0;
}

/** `holdfast skip`: has a sink leave events out. Answers the exit code. Errors: as above. */
export async function skipCommand(options: SkipOptions, io: OperateIo): Promise<number> {
  const body = skipBody(options, (io.wallMs ?? Date.now)());
  const client = hubClient(options, io.env);
  const result = await client.ask<SkipResult>('POST', pathOf(options.sink, 'skip'), body);
  io.stdout.write(options.json ? `${JSON.stringify(result)}\n` : `${skipText(result)}\n`);
  return 0;
}

function skipBody({ to, events, lane }: SkipOptions, nowMs: number) {
  if ((to === undefined) === (events === undefined))
    throw new HubError('USAGE', 'give --to or --events, and not both');
  if (lane !== undefined && !LANES.some((known) => known === lane))
    throw new HubError('USAGE', `--lane ${lane.slice(0, 64)} is none of ${LANES.join(', ')}`);
  const inLane = lane === undefined ? {} : { lane };
  if (to !== undefined) {
    return { ...inLane, to: to.trim() === 'now' ? 'now' : timeArgument('--to', to, nowMs) };
  }
  if (!/^[1-9]\d{0,6}$/.test(events ?? ''))
    throw new HubError('USAGE', `--events ${events?.slice(0, 64)} is no number of events`);
  return { ...inLane, events: Number(events) };
}

function skipText({ sink, skippedEvents, lanes }: SkipResult): string {
  if (lanes.length === 0) return `sink ${sink} has nothing to skip there`;
  const places = lanes.map(
    ({ lane, skippedEvents: events, toOffset }) =>
      `${lane}: ${counted(events)}, goes on at offset ${toOffset}`,
  );
  const text = `sink ${sink} leaves ${counted(skippedEvents)} events out (${places.join('; ')})`;
  return `${text}\nThey stay in the log: holdfast replay can send them after all.`;
}
