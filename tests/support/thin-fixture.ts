import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { HubEvent, Lane } from '../../hub/core/event.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import type { LogOptions } from '../../hub/log/log-options.ts';
import type { Storage } from '../../hub/log/storage/storage.ts';
import { aggregator } from '../../hub/process/aggregate.ts';
import { openAggregate } from '../../hub/process/aggregate-payload.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import type { FakeClock } from './fake-clock.ts';
import { appended, openTestLog } from './log-fixture.ts';

export const SITE = createDecoder([{ topic: 'site/{area}/{device}/{metric}', format: 'number' }]);

/** A log that thins what is of `site/{area}/{device}/{metric}`. */
export async function openThinLog(
  storage: Storage,
  bytesMax: number,
  more: Partial<LogOptions> = {},
): Promise<DurableLog> {
  const aggregate = aggregator(SITE);
  return await openTestLog(storage, { bytesMax, whenFull: 'thin', aggregate, ...more });
}

/** So many at a time: one block has twenty seconds. */
const SECONDS_AT_ONCE = 20;

/** Seconds of the site, each with one reading of each device. */
export async function seconds(
  log: DurableLog,
  clock: FakeClock,
  count: number,
  devices: number,
  value: (at: number, device: number) => number,
  lane: Lane = 'normal',
): Promise<void> {
  for (let at = 0; at < count; ) {
    const sent: Promise<void>[] = [];
    for (const end = Math.min(count, at + SECONDS_AT_ONCE); at < end; at++) {
      clock.advance(1_000);
      for (let device = 0; device < devices; device++) {
        const topic = `site/a/dev${device}/temp`;
        const payload = Buffer.from(`${value(at, device)}`);
        sent.push(appended(log, { topic, payload, source: 'mqtt' }, lane));
      }
    }
    await Promise.all(sent);
  }
}

/** What a far side knows of one metric when it puts everything together. */
export interface Known {
  count: number;
  sum: number;
  min: number;
  max: number;
}

export class FarSide {
  readonly #known = new Map<string, Known>();
  aggregates = 0;
  /** Events, those that aggregates stand for included. */
  events = 0;

  take(event: HubEvent): void {
    if (event.kind === 'aggregate') this.aggregates++;
    this.events += event.kind === 'aggregate' ? (openAggregate(event)?.events ?? 0) : 1;
    for (const { device, metric, value, aggregate } of SITE(event).readings) {
      assert.ok(typeof value === 'number');
      const { min = value, max = value, count = 1 } = aggregate ?? {};
      const known = this.of(`${device}/${metric}`);
      known.count += count;
      known.sum += value * count;
      known.min = Math.min(known.min, min);
      known.max = Math.max(known.max, max);
    }
  }

  of(name: string): Known {
    const none = { count: 0, sum: 0, min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY };
    const known = this.#known.get(name) ?? none;
    this.#known.set(name, known);
    return known;
  }
}

/** Packing a block is work of another thread: so long it may look as if nothing went on. */
const LOOK_EVERY_MS = 15;
const SAME_LOOKS = 4;

/** Waits until nothing more is thinned, trimmed or admitted. */
export async function calm(log: DurableLog): Promise<void> {
  let before = '';
  for (let same = 0; same < SAME_LOOKS; ) {
    await delay(LOOK_EVERY_MS);
    const { bytes, lanes } = log.status();
    const now = JSON.stringify([bytes, lanes]);
    same = now === before ? same + 1 : 0;
    before = now;
  }
}
