import type { LogStatus, SinkStatus, Status } from '../../hub/core/status.ts';
import type { Tone } from './sink-view.ts';

/** One term of an equation. */
export interface Term {
  readonly name: string;
  readonly events: number;
  /** What should catch the eye. */
  readonly tone?: Tone;
}

/** `events` = the sum of `terms` + `difference`. But for the first, terms of 0 are left out. */
export interface Account {
  readonly id: string;
  readonly events: number;
  readonly terms: readonly Term[];
  /** Not 0: the books do not add up, and somebody should be told. */
  readonly difference: number;
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

function account(id: string, events: number, terms: readonly Term[]): Account {
  const difference = events - sum(terms.map((term) => term.events));
  return { id, events, difference, terms: terms.filter((term, i) => i === 0 || term.events > 0) };
}

/** All that was received: in the log, refused, or being written at this moment. */
export function incoming({ received, lanes }: LogStatus): Account {
  const events = sum(received.map((count) => count.events));
  const accepted = sum(lanes.map(({ tail }) => tail));
  const refused = sum(lanes.map((lane) => lane.refused));
  // counted when their write begins, and in the log when it is done
  const writing = Math.max(0, events - accepted - refused);
  return account('received', events, [
    { name: 'in the log', events: accepted },
    { name: 'being written', events: writing },
    { name: 'refused: full', events: refused, tone: 'bad' },
  ]);
}

/** What came in by source, most first. */
export function sourcesOf({ received }: LogStatus): readonly Term[] {
  const bySource = new Map<string, number>();
  for (const { source, events } of received)
    bySource.set(source, (bySource.get(source) ?? 0) + events);
  return [...bySource]
    .map(([source, events]) => ({ name: source.replace(/^bridge:/, ''), events }))
    .sort((a, b) => b.events - a.events);
}

/** What became of the events since a sink began, over all lanes. */
export function outgoing(sink: SinkStatus, log: LogStatus): Account {
  const { lanes } = sink;
  const tails = new Map(log.lanes.map(({ lane, tail }) => [lane, tail]));
  const events = sum(lanes.map(({ lane, start }) => (tails.get(lane) ?? start) - start));
  const of = (name: 'delivered' | 'queued' | 'filtered' | 'thinned' | 'deadLettered') =>
    sum(lanes.map((lane) => lane[name]));
  const lost = new Map<string, number>();
  for (const lane of lanes)
    for (const [reason, count] of Object.entries(lane.lost))
      lost.set(reason, (lost.get(reason) ?? 0) + count);
  return account(sink.id, events, [
    { name: 'delivered', events: of('delivered') },
    { name: 'queued', events: of('queued') },
    { name: 'of other topics', events: of('filtered') },
    { name: 'thinned', events: of('thinned'), tone: 'warn' },
    { name: 'dead letters', events: of('deadLettered'), tone: 'warn' },
    ...[...lost].map(([reason, count]): Term => {
      return { name: `lost: ${reason}`, events: count, tone: 'bad' };
    }),
  ]);
}

/** Every account of the hub. */
export function ledgerOf({ log, sinks }: Pick<Status, 'log' | 'sinks'>): readonly Account[] {
  return [incoming(log), ...sinks.map((sink) => outgoing(sink, log))];
}
