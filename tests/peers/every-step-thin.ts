/**
 * `thin` at work, for every-step.test.ts: what it does, and what has to hold whenever it is
 * stopped.
 */

import type { LogOptions } from '../../hub/log/log-options.ts';
import { aggregator } from '../../hub/process/aggregate.ts';
import { openDataFolder } from '../power-cut/open-data-folder.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { readAll } from '../support/log-fixture.ts';
import { calm, FarSide, SITE, seconds } from '../support/thin-fixture.ts';

const DEVICES = 5;
const SECONDS = 1_500;
const MORE_SECONDS = 40;
/** Of what the log takes: so it has to thin at once. */
const BYTES_SHARE = 0.7;

/** Every event has its own offset as its value. */
async function measure(
  folder: string,
  options: Partial<LogOptions>,
  clock: FakeClock,
  count: number,
): Promise<{ readonly tail: number; readonly bytes: number; readonly thinnedEvents: number }> {
  const aggregate = aggregator(SITE);
  const { log } = await openDataFolder(folder, { aggregate, clock, ...options });
  const { tail: first } = log.range('normal');
  clock.advance((first / DEVICES) * 1_000); // one reading a second, since the clock began
  await seconds(log, clock, count, DEVICES, (at, device) => first + at * DEVICES + device);
  await calm(log);
  const { tail } = log.range('normal');
  const status = log.status();
  const thinnedEvents = status.lanes.reduce((sum, { thinned }) => sum + thinned.events, 0);
  await log.close();
  return { tail, bytes: status.bytes, thinnedEvents };
}

/** Answers how many events there are. */
export async function prepareThin(folder: string): Promise<number> {
  return (await measure(folder, {}, new FakeClock(), SECONDS)).tail;
}

/** Tells `acknowledged` how many events there are. Throws when nothing was thinned. */
export async function thin(folder: string, acknowledged: (tail: number) => void): Promise<void> {
  let { bytes } = await measure(folder, {}, new FakeClock(), 0);
  for (let round = 0; round < 2; round++) {
    bytes *= BYTES_SHARE;
    const options = { whenFull: 'thin' as const, bytesMax: Math.floor(bytes) };
    const { tail, thinnedEvents } = await measure(folder, options, new FakeClock(), MORE_SECONDS);
    acknowledged(tail);
    if (thinnedEvents === 0) throw new Error('nothing was thinned');
  }
}

/** Answers what does not hold, in words. */
export async function checkThin(folder: string, acknowledged: number): Promise<string[]> {
  const problems: string[] = [];
  const { log } = await openDataFolder(folder, {
    clock: new FakeClock(),
    observer: { damaged: (_lane, { from, to }) => problems.push(`${from} to ${to} damaged`) },
  });
  await log.checked();
  const far = new FarSide();
  for (const event of await readAll(log, 'normal', 0, 1024 * 1024)) far.take(event);
  const { head, tail } = log.range('normal');
  const { lostEvents } = log.status();
  await log.close();
  if (head !== 0) problems.push(`the log begins at ${head}`);
  if (tail < acknowledged) problems.push(`the log ends at ${tail}, ${acknowledged} acknowledged`);
  if (lostEvents !== 0) problems.push(`${lostEvents} are counted as lost`);
  if (far.events !== tail) problems.push(`${far.events} events, the log ends at ${tail}`);
  for (let device = 0; device < DEVICES; device++) {
    const { count, sum, min, max } = far.of(`dev${device}/temp`);
    const wanted = Math.floor((tail - device + DEVICES - 1) / DEVICES);
    const last = device + (wanted - 1) * DEVICES;
    const right = ((device + last) / 2) * wanted;
    if (count !== wanted || min !== device || max !== last || Math.abs(sum - right) > 1e-6 * right)
      problems.push(`dev${device}: ${count} from ${min} to ${max}, sum ${sum} and not ${right}`);
  }
  return problems;
}
