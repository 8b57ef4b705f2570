import type { HubEvent } from '../core/event.ts';
import type { Run, ThinnedPlace } from './batcher.ts';

/** An event that the far side will not take, and why. */
export interface Refused {
  readonly event: HubEvent;
  readonly reason: string;
}

/** A run that is ready to be sent, and what has happened to its events so far. */
export interface Prepared {
  readonly run: Run;
  /** Under way before its turn for a full batch; kept for the next try. */
  encoded?: Promise<unknown>;
  /** By offset: an event is refused once, however often the far side says so. */
  readonly refused: Map<number, Refused>;
  /** Answers "again" about one event, by offset. */
  readonly attempts: Map<number, number>;
  /** What is still to be sent, when the far side took a part. */
  readonly rest: readonly HubEvent[];
}

/** A run of which nothing has been sent. */
export function fresh(run: Run): Prepared {
  return { run, refused: new Map(), attempts: new Map(), rest: run.events };
}

/** Cuts what is still to be sent in two, each with its part of the run. At least two events. */
export function halved(prepared: Prepared): [Prepared, Prepared] {
  const { run, rest, attempts, refused } = prepared;
  const at = rest[Math.ceil(rest.length / 2)]?.offset ?? run.to;
  const keep = (half: Run): Prepared => {
    const inside = (offset: number) => offset >= half.from && offset < half.to;
    return {
      run: half,
      attempts,
      rest: rest.filter(({ offset }) => inside(offset)),
      refused: new Map([...refused].filter(([offset]) => inside(offset))),
    };
  };
  const [first, second] = split(run, at);
  return [keep(first), keep(second)];
}

/** What is lost lies before the first event of a run, so the first part has all of it. */
function split(run: Run, at: number): [Run, Run] {
  const before = run.events.filter(({ offset }) => offset < at);
  const after = run.events.filter(({ offset }) => offset >= at);
  const places = run.thinnedAt ?? [];
  const thinned = sumOf(places.filter((place) => place.at < at));
  const settledBefore = run.dropped + run.corrupt + thinned + before.length;
  const thinnedAfter = run.thinned - thinned;
  return [
    {
      ...run,
      events: before,
      to: at,
      thinned,
      thinnedAt: places.filter((place) => place.at < at),
      filtered: at - run.from - settledBefore,
    },
    {
      ...run,
      events: after,
      from: at,
      dropped: 0,
      corrupt: 0,
      thinned: thinnedAfter,
      thinnedAt: places.filter((place) => place.at >= at),
      filtered: run.to - at - thinnedAfter - after.length,
    },
  ];
}

function sumOf(places: readonly ThinnedPlace[]): number {
  return places.reduce((sum, { events }) => sum + events, 0);
}
