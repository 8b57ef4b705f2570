import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../tests/support/free-port.ts';
import { type Hub, type HubSections, startHub } from './brokers.ts';
import { lagOf } from './hub-status.ts';
import type { LoadGenerator } from './load.ts';
import { median, table, thousands } from './statistics.ts';

/** One hub, right after its start and under load. */
export interface BacklogSide {
  readonly queued: number;
  readonly readyMs: number;
  readonly residentBytes: number;
  readonly messagesPerSecond: number;
}

export interface BacklogReport {
  readonly empty: BacklogSide;
  readonly full: BacklogSide;
  /** Of messages a second, with the backlog to without it: the median of the pairs. */
  readonly ratio: number;
}

/** Whatever a start leaves to the garbage collector is gone by then. */
const SETTLE_MS = 3_000;
const LOAD_MESSAGES = 200_000;

interface Started {
  readonly hub: Hub;
  readonly readyMs: number;
  readonly residentBytes: number;
}

async function start(folder: string, sections: HubSections): Promise<Started> {
  const startedMs = performance.now();
  const hub = await startHub(folder, sections);
  const readyMs = performance.now() - startedMs;
  await delay(SETTLE_MS);
  return { hub, readyMs, residentBytes: hub.server.residentBytes() };
}

/** A hub whose far side is away and `events` are queued, against one with nothing queued. */
export async function benchBacklog(
  folder: string,
  load: LoadGenerator,
  events: number,
  pairs: number,
): Promise<BacklogReport> {
  const sections: HubSections = {
    // nobody listens there
    sinks: `[{ id: far, type: http, url: "http://127.0.0.1:${await freePort()}/" }]`,
    log: '{ capacity: { bytes_max: 16 GiB, free_bytes_min: 64 MiB } }',
  };
  const shape = { connections: 50, window: 100, messages: LOAD_MESSAGES, payloadBytes: 100 };
  const filling = await startHub(join(folder, 'full'), sections);
  await load.run(filling.mqttPort, { ...shape, messages: events });
  await filling.server.stop();

  const full = await start(join(folder, 'full'), sections);
  const queued = await lagOf(full.hub);
  const empty = await start(join(folder, 'empty'), sections);
  try {
    const rates: { full: number; empty: number }[] = [];
    const rateOf = async ({ hub }: Started) => {
      const { messages, seconds } = await load.run(hub.mqttPort, shape);
      return messages / seconds;
    };
    for (const each of [empty, full]) await rateOf(each); // the compiler warms up
    for (let i = 0; i < pairs; i++)
      rates.push({ full: await rateOf(full), empty: await rateOf(empty) });
    const side = ({ readyMs, residentBytes }: Started, waiting: number, all: number[]) => ({
      queued: waiting,
      readyMs,
      residentBytes,
      messagesPerSecond: median(all),
    });
    return {
      empty: side(
        empty,
        0,
        rates.map((rate) => rate.empty),
      ),
      full: side(
        full,
        queued,
        rates.map((rate) => rate.full),
      ),
      ratio: median(rates.map((rate) => rate.full / rate.empty)),
    };
  } finally {
    await full.hub.server.stop();
    await empty.hub.server.stop();
  }
}

export function describeBacklog({ empty, full, ratio }: BacklogReport): string {
  const row = (name: string, side: BacklogSide, against: string) => [
    name,
    thousands(side.queued),
    side.readyMs.toFixed(0),
    (side.residentBytes / 1024 ** 2).toFixed(0),
    thousands(side.messagesPerSecond),
    against,
  ];
  return [
    'Backlog: events queued for a far side that is away; ingest as in "Ingest"',
    table(
      ['', 'queued', 'ready ms', 'RSS MiB', 'msg/s', 'ratio'],
      [row('empty', empty, '1.00'), row('backlog', full, ratio.toFixed(2))],
    ),
  ].join('\n');
}
