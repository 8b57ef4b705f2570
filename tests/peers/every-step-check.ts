/**
 * What has to hold for a data directory after a fault at any step, see every-step.test.ts.
 *
 * - It opens, and what was acknowledged is there, in order, once each, byte for byte;
 * - offsets that were given are not given again, also not after it was opened once more;
 * - the cursor is where it once was moved to, between head and tail;
 * - the ledger adds up: received = tails + refused; settled = delivered + lost; a loss is counted
 *   once.
 */
import { LANES, type Lane } from '../../hub/core/event.ts';
import { sumOfLost } from '../../hub/core/lost-counts.ts';
import { LOSS_TOPIC } from '../../hub/log/ledger/losses.ts';
import type { LogObserver } from '../../hub/log/log-options.ts';
import { numberedMessage, numberOf } from '../power-cut/event-payload.ts';
import { type DataFolder, openDataFolder, SINK } from '../power-cut/open-data-folder.ts';
import { appended, readAll } from '../support/log-fixture.ts';
import { FIRST_NUMBER, type Promised } from './every-step-run.ts';

/** A number that no scenario gets to. */
const FIRST_NEW_NUMBER = 900_000_000;
/** Of each kind: what is wrong with one is mostly wrong with many. */
const SHOWN_MAX = 5;

/** A number, or what the log itself has written there. */
type Content = number | 'report' | 'wrong';

interface SeenLane {
  readonly head: number;
  readonly tail: number;
  readonly contents: ReadonlyMap<number, Content>;
  /** Offsets that are known to be lost. */
  readonly damaged: ReadonlySet<number>;
}

/** What a reader finds in a folder. */
export interface Seen {
  readonly lanes: ReadonlyMap<Lane, SeenLane>;
  readonly corruptEvents: ReadonlyMap<Lane, number>;
}

function contentOf(lane: Lane, event: Parameters<typeof numberOf>[1]): Content {
  return event.topic === LOSS_TOPIC ? 'report' : (numberOf(lane, event) ?? 'wrong');
}

async function lookAt({ log }: DataFolder): Promise<Seen> {
  await log.checked();
  const lanes = new Map<Lane, SeenLane>();
  for (const lane of LANES) {
    const { head, tail } = log.range(lane);
    const contents = new Map<number, Content>();
    for (const event of await readAll(log, lane, head, 1024 * 1024)) {
      const again = contents.has(event.offset) || event.offset >= tail;
      contents.set(event.offset, again ? 'wrong' : contentOf(lane, event));
    }
    const damaged = new Set<number>();
    for (const { from, to } of log.damagedRanges(lane)) {
      for (let offset = from; offset < to; offset++) damaged.add(offset);
    }
    lanes.set(lane, { head, tail, contents, damaged });
  }
  const corruptEvents = new Map<Lane, number>(LANES.map((lane) => [lane, 0]));
  for (const { lane, reason, events } of log.losses.entries()) {
    const known = LANES.find((name) => name === lane);
    if (known && reason === 'corrupt') corruptEvents.set(known, events);
  }
  return { lanes, corruptEvents };
}

/** `reference`: what is left when nothing disturbs the opening. Absent: everything. */
function promisesKept(seen: Seen, promised: Promised, reference: Seen | undefined): string[] {
  const problems: string[] = [];
  for (const [lane, { head, tail, contents, damaged }] of seen.lanes) {
    const left = reference?.lanes.get(lane);
    const given = promised.tails.get(lane) ?? 0;
    if (tail < given) problems.push(`${lane} ends at ${tail}, ${given} were given`);
    for (let offset = head; offset < tail; offset++) {
      const content = contents.get(offset);
      if (content === 'wrong') problems.push(`${lane} ${offset} has other contents`);
      const lost = damaged.has(offset);
      if (lost === (content !== undefined))
        problems.push(`${lane} ${offset} is ${lost ? 'there and lost' : 'neither there nor lost'}`);
      if (left && offset >= left.head && offset < left.tail) {
        if (content !== left.contents.get(offset) && left.contents.get(offset) !== 'report')
          problems.push(
            `${lane} ${offset} is ${content}, undisturbed ${left.contents.get(offset)}`,
          );
      } else if (lost) problems.push(`${lane} ${offset} is lost, nothing had damaged it`);
    }
    const numbers = [...contents.values()].filter((content) => typeof content === 'number');
    if (numbers.some((number, index) => number <= (numbers[index - 1] ?? -1)))
      problems.push(`${lane} is out of order, or has an event twice`);
    problems.push(...acknowledgedKept(lane, seen, promised, left));
    const counted = seen.corruptEvents.get(lane) ?? 0;
    if (counted !== damaged.size)
      problems.push(`${lane}: ${counted} counted as corrupt, ${damaged.size} are`);
  }
  return problems;
}

function acknowledgedKept(
  lane: Lane,
  seen: Seen,
  promised: Promised,
  left: SeenLane | undefined,
): string[] {
  const { head = 0, contents } = seen.lanes.get(lane) ?? {};
  const there = new Set(contents?.values());
  const oldest = [...there].find((content) => typeof content === 'number');
  const all = promised.acknowledged.get(lane) ?? [];
  const leftNumbers = new Set(left?.contents.values());
  const missing = all.filter((number) => {
    if (there.has(number)) return false;
    if (left && number < FIRST_NUMBER) return leftNumbers.has(number);
    const trimmed = head > 0 && (oldest === undefined || number < Number(oldest));
    return !trimmed;
  });
  const some = missing.slice(0, SHOWN_MAX).join(' ');
  if (missing.length === 0) return [];
  return [`${lane}: ${missing.length} acknowledged are gone, such as ${some}`];
}

function cursorsKept({ log }: DataFolder, promised: Promised, mayGoBack: boolean): string[] {
  const problems: string[] = [];
  for (const lane of LANES) {
    const { head, tail } = log.range(lane);
    const { offset, start, delivered, filtered, deadLettered, thinned, lost, confirmed } =
      log.cursors.get(SINK, lane);
    const where = `the cursor of ${lane} is at ${offset}`;
    if (!(promised.settled.get(lane)?.has(offset) || (mayGoBack && offset === head)))
      problems.push(`${where}, where it never was`);
    if (!(head <= confirmed.offset && confirmed.offset <= offset && offset <= tail))
      problems.push(`${where}, confirmed ${confirmed.offset}, of ${head} to ${tail}`);
    const sum = start + delivered + filtered + deadLettered + thinned + sumOfLost(lost);
    if (sum !== offset) problems.push(`${where}, its counts say ${sum}`);
  }
  return problems;
}

function ledgerBalanced({ log }: DataFolder): string[] {
  const { received, lost, lanes } = log.status();
  return lanes.flatMap(({ lane, tail }) => {
    let events = 0;
    for (const count of received) if (count.lane === lane) events += count.events;
    const refused = lost.filter((loss) => loss.lane === lane && loss.reason === 'full');
    const balance = events - tail - refused.reduce((sum, loss) => sum + loss.events, 0);
    return balance === 0 ? [] : [`${lane}: ${events} received, the tail is ${tail}`];
  });
}

async function opened<T>(
  folder: string,
  problems: string[],
  use: (data: DataFolder) => Promise<T>,
): Promise<T> {
  const observer: LogObserver = {
    trouble: (problem) => problem !== undefined && problems.push(problem),
  };
  const data = await openDataFolder(folder, { observer });
  try {
    return await use(data);
  } finally {
    await data.log.close();
  }
}

/** Opens a folder as it is, and says what is in it. */
export async function seenIn(folder: string): Promise<Seen> {
  return await opened(folder, [], lookAt);
}

/** Answers what does not hold, in words. Opens the folder three times, and appends to it. */
export async function checkStep(
  folder: string,
  promised: Promised,
  reference?: Seen,
): Promise<string[]> {
  const problems: string[] = [];
  const added = new Map<Lane, number>();
  try {
    const before = await opened(folder, problems, async (data) => {
      const seen = await lookAt(data);
      problems.push(...promisesKept(seen, promised, reference));
      problems.push(...cursorsKept(data, promised, reference !== undefined));
      problems.push(...ledgerBalanced(data));
      for (const lane of LANES) {
        const number = FIRST_NEW_NUMBER + LANES.indexOf(lane);
        await appended(data.log, numberedMessage(lane, number), lane);
        added.set(lane, number);
      }
      return seen;
    });
    for (let start = 0; start < 2; start++) {
      const after = await opened(folder, problems, lookAt);
      problems.push(...stillThere(before, after, added));
    }
  } catch (error) {
    problems.push(`it does not open, or cannot be read: ${String(error)}`);
  }
  return problems;
}

function stillThere(before: Seen, after: Seen, added: ReadonlyMap<Lane, number>): string[] {
  const problems: string[] = [];
  for (const [lane, { contents, tail, damaged }] of before.lanes) {
    const now = after.lanes.get(lane);
    const changed = [...contents].filter(
      ([offset, content]) => offset >= (now?.head ?? 0) && now?.contents.get(offset) !== content,
    );
    for (const [offset, content] of changed)
      problems.push(`${lane} ${offset} was ${content}, is ${now?.contents.get(offset)} now`);
    const newOnes = [...(now?.contents ?? [])].filter(([, content]) => content === added.get(lane));
    const [[offset = -1] = []] = newOnes;
    if (newOnes.length !== 1 || offset < tail)
      problems.push(`${lane}: what was appended at ${tail} is at ${offset}`);
    if (now && now.damaged.size !== damaged.size)
      problems.push(`${lane}: ${damaged.size} were lost, ${now.damaged.size} are now`);
  }
  return problems;
}
