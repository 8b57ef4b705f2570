/**
 * What has to hold for a data directory after a power cut, whatever was on its way to the disk.
 *
 * - The log opens, in seconds.
 * - Every acknowledged event that was not trimmed is there, byte for byte, at the offset at which
 *   it was acknowledged. Nothing was trimmed that the cursor had not passed.
 * - Offsets are contiguous, and so is what is appended next: no offset comes twice.
 * - The cursor is where it once was moved to, between head and tail.
 * - Nothing is reported as lost or damaged: what vanished had never been acknowledged.
 * - No block lies below the head, where nothing would ever delete it.
 */
import type { HubEvent, Lane } from '../../hub/core/event.ts';
import { LANES } from '../../hub/core/event.ts';
import { blockRange } from '../../hub/log/keys.ts';
import type { LogObserver } from '../../hub/log/log-options.ts';
import { appended, readAll } from '../support/log-fixture.ts';
import { numberedMessage, numberOf } from './event-payload.ts';
import { type DataFolder, openDataFolder, SINK } from './open-data-folder.ts';
import type { Ack } from './writer-output.ts';

/**
 * Opening recovers at most one write buffer of 8 MiB: some 0.1 s. A busy machine gets 50 times
 * that.
 */
const OPEN_MS_MAX = 5_000;
/** Numbers no writer gets to. */
const FIRST_NEW_NUMBER = 900_000_000;
const NEW_EVENTS_PER_LANE = 3;

export interface Promised {
  /** In the order in which they were given. */
  readonly acks: readonly Ack[];
  readonly settled: ReadonlyMap<Lane, ReadonlySet<number>>;
}

export interface Findings {
  /** What does not hold, in words. Empty when all is well. */
  readonly problems: readonly string[];
  /** Acknowledged events that are gone. All of them when the log does not open. */
  readonly lostEvents: number;
  readonly openMs: number;
  readonly readEvents: number;
  /** What the log said about files that the cut has left unfinished: it may, and loses nothing. */
  readonly unfinishedFiles: readonly string[];
}

type Contents = ReadonlyMap<Lane, ReadonlyMap<number, number | undefined>>;

class Check {
  readonly problems: string[] = [];
  lostEvents = 0;
  readEvents = 0;
  readonly unfinishedFiles: string[] = [];
  readonly #promised: Promised;

  constructor(promised: Promised) {
    this.#promised = promised;
  }

  /** Numbers by offset, of what can be read; what should not be there is a problem. */
  async contents({ log, storage }: DataFolder): Promise<Contents> {
    const contents = new Map<Lane, Map<number, number | undefined>>();
    for (const lane of LANES) {
      const { head, tail } = log.range(lane);
      const events = await readAll(log, lane, head, 1024 * 1024);
      contents.set(lane, this.#numbers(lane, events));
      const [first = head, last = tail - 1] = [events[0]?.offset, events.at(-1)?.offset];
      if (first !== head || last !== tail - 1 || events.length !== tail - head)
        this.problems.push(
          `${lane} says ${head} to ${tail}; ${events.length} read, ${first} to ${last + 1}`,
        );
      for await (const _ of storage.entries(blockRange(lane, 0, head))) {
        this.problems.push(`${lane} has a block below its head ${head}`);
        break;
      }
    }
    for (const { lane, reason, events } of log.losses.entries())
      this.problems.push(`${events} reported as lost: ${lane}, ${reason}`);
    return contents;
  }

  #numbers(lane: Lane, events: readonly HubEvent[]): Map<number, number | undefined> {
    const numbers = new Map<number, number | undefined>();
    let expected = events[0]?.offset ?? 0;
    for (const event of events) {
      const number = numberOf(lane, event);
      if (event.offset !== expected)
        this.problems.push(`${lane} ${event.offset} comes in the place of ${expected}`);
      if (number === undefined) this.problems.push(`${lane} ${event.offset} has other contents`);
      numbers.set(event.offset, number);
      expected = event.offset + 1;
    }
    this.readEvents += events.length;
    return numbers;
  }

  acknowledged({ log }: DataFolder, contents: Contents): void {
    const lost = new Map<Lane, number>();
    for (const { lane, offset, number, count } of this.#promised.acks) {
      const { head } = log.range(lane);
      for (let i = Math.max(0, head - offset); i < count; i++)
        if (contents.get(lane)?.get(offset + i) !== number + i)
          lost.set(lane, (lost.get(lane) ?? 0) + 1);
    }
    for (const [lane, events] of lost) {
      this.lostEvents += events;
      this.problems.push(`${events} acknowledged events of ${lane} are gone`);
    }
  }

  cursors({ log }: DataFolder): void {
    for (const lane of LANES) {
      const { head, tail } = log.range(lane);
      const { offset, start, delivered, confirmed } = log.cursors.get(SINK, lane);
      const where = `the cursor of ${lane} is at ${offset}`;
      if (!this.#promised.settled.get(lane)?.has(offset))
        this.problems.push(`${where}, where it never was`);
      if (!(head <= confirmed.offset && confirmed.offset <= offset && offset <= tail))
        this.problems.push(`${where}, confirmed ${confirmed.offset}, of ${head} to ${tail}`);
      if (offset - start !== delivered) this.problems.push(`${where}, ${start} + ${delivered}`);
    }
  }

  async append(folder: DataFolder, contents: Contents): Promise<Contents> {
    const after = new Map<Lane, Map<number, number | undefined>>();
    for (const lane of LANES) {
      const { tail } = folder.log.range(lane);
      const numbers = new Map(contents.get(lane));
      for (let i = 0; i < NEW_EVENTS_PER_LANE; i++) {
        await appended(folder.log, numberedMessage(lane, FIRST_NEW_NUMBER + i), lane);
        numbers.set(tail + i, FIRST_NEW_NUMBER + i);
      }
      after.set(lane, numbers);
    }
    return after;
  }

  same(contents: Contents, wanted: Contents): void {
    for (const lane of LANES) {
      const [is, should] = [contents, wanted].map((all) => [...(all.get(lane) ?? [])].join(' '));
      if (is !== should) this.problems.push(`${lane} is another one after appending and reopening`);
    }
  }
}

async function opened<T>(
  folder: string,
  { problems, unfinishedFiles }: Check,
  use: (data: DataFolder) => Promise<T>,
): Promise<T> {
  const observer: LogObserver = {
    damaged: (lane, { from, to }, problem) =>
      problems.push(`${lane} ${from} to ${to} damaged: ${problem}`),
    found: ({ file, problem }) => unfinishedFiles.push(`${file}: ${problem}`),
    trouble: (problem) => problem !== undefined && problems.push(problem),
  };
  const data = await openDataFolder(folder, { observer });
  try {
    return await use(data);
  } finally {
    await data.log.close();
  }
}

/** Looks at a data directory, appends to it, opens it again and looks once more. */
export async function checkDataFolder(folder: string, promised: Promised): Promise<Findings> {
  const check = new Check(promised);
  const startedMs = performance.now();
  let openMs: number | undefined;
  try {
    const wanted = await opened(folder, check, async (data) => {
      openMs = performance.now() - startedMs;
      if (openMs > OPEN_MS_MAX) check.problems.push(`opening took ${Math.round(openMs)} ms`);
      const contents = await check.contents(data);
      check.acknowledged(data, contents);
      check.cursors(data);
      return await check.append(data, contents);
    });
    await opened(folder, check, async (data) => check.same(await check.contents(data), wanted));
  } catch (error) {
    check.problems.push(`the log does not open or cannot be read: ${String(error)}`);
    check.lostEvents = promised.acks.reduce((sum, { count }) => sum + count, 0);
  }
  const { problems, lostEvents, readEvents, unfinishedFiles } = check;
  openMs ??= performance.now() - startedMs;
  return { problems, lostEvents, readEvents, unfinishedFiles, openMs };
}
