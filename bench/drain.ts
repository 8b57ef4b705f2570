import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../tests/support/free-port.ts';
import { type Hub, startHub } from './brokers.ts';
import { lagOf } from './hub-status.ts';
import type { LoadGenerator } from './load.ts';
import { type Receiver, startReceiver } from './receiver.ts';
import { table, thousands } from './statistics.ts';

export interface DrainReport {
  readonly events: number;
  /** From the first request until the far side had every event. */
  readonly seconds: number;
  readonly eventsPerSecond: number;
  /** From the moment the far side listens to the first request. */
  readonly firstRequestMs: number;
  readonly duplicates: number;
  readonly disordered: number;
  /** Resident memory of the hub: with the backlog before the drain, and at most during it. */
  readonly residentBytesBefore: number;
  readonly residentBytesMax: number;
}

const LOOK_EVERY_MS = 25;
/** At a tenth of what is expected the drain of the default backlog still ends in this time. */
const DRAIN_MS_MAX = 120_000;

/**
 * The far side is away while a backlog of `events` grows; then it returns, and everything follows.
 */
export async function benchDrain(
  folder: string,
  load: LoadGenerator,
  events: number,
): Promise<DrainReport> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/`;
  // The waits are short, because finding out that the far side is back is not what is measured.
  const retry = '{ delay_min: 100 ms, delay_max: 500 ms }';
  const sinks = `[{ id: far, type: http, url: "${url}", retry: ${retry} }]`;
  const hub = await startHub(join(folder, 'drain'), { sinks });
  try {
    await load.run(hub.mqttPort, {
      connections: 50,
      window: 100,
      messages: events,
      payloadBytes: 100,
    });
    const lag = await lagOf(hub);
    if (lag !== events) throw new Error(`the backlog is ${lag} events, not ${events}`);
    const residentBytesBefore = hub.server.residentBytes();
    const listensMs = performance.now();
    const receiver = await startReceiver(port);
    try {
      const drained = await drain(hub, receiver, events);
      const firstMs = receiver.firstMs ?? listensMs;
      const seconds = (drained.endMs - firstMs) / 1000;
      return {
        events,
        seconds,
        eventsPerSecond: events / seconds,
        firstRequestMs: firstMs - listensMs,
        duplicates: receiver.duplicates,
        disordered: receiver.disordered,
        residentBytesBefore,
        residentBytesMax: Math.max(residentBytesBefore, drained.residentBytesMax),
      };
    } finally {
      await receiver.close();
    }
  } finally {
    await hub.server.stop();
  }
}

async function drain(hub: Hub, receiver: Receiver, events: number) {
  const deadlineMs = performance.now() + DRAIN_MS_MAX;
  let residentBytesMax = 0;
  const watch = async (done: () => Promise<boolean> | boolean) => {
    while (!(await done())) {
      residentBytesMax = Math.max(residentBytesMax, hub.server.residentBytes());
      if (performance.now() > deadlineMs)
        throw new Error(`${receiver.unique} of ${events} events in ${DRAIN_MS_MAX / 1000} s`);
      await delay(LOOK_EVERY_MS);
    }
  };
  await watch(() => receiver.unique >= events);
  const endMs = performance.now();
  await watch(async () => (await lagOf(hub)) === 0); // the cursor has to say so too
  return { endMs, residentBytesMax };
}

const MIB = 1024 ** 2;

export function describeDrain(report: DrainReport): string {
  const before = report.residentBytesBefore / MIB;
  const most = report.residentBytesMax / MIB;
  return [
    `Drain: ${thousands(report.events)} events of 100 bytes to an HTTP far side that was away`,
    table(
      [
        '',
        'events/s',
        'seconds',
        'first ms',
        'duplicates',
        'disorder',
        'RSS MiB',
        'RSS max',
        'grew',
      ],
      [
        [
          'Holdfast',
          thousands(report.eventsPerSecond),
          report.seconds.toFixed(2),
          report.firstRequestMs.toFixed(0),
          String(report.duplicates),
          String(report.disordered),
          before.toFixed(0),
          most.toFixed(0),
          (most - before).toFixed(0),
        ],
      ],
    ),
  ].join('\n');
}
