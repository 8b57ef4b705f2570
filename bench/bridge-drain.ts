import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../tests/support/free-port.ts';
import { startMosquitto } from './brokers.ts';
import { countingSubscriber } from './counting-subscriber.ts';
import type { DrainRun } from './drain.ts';
import type { LoadGenerator, LoadShape } from './load.ts';

const LOOK_EVERY_MS = 25;
const DRAIN_MS_MAX = 300_000;
/** The subscription is there before it is needed. */
const SUBSCRIBED_MS = 300;

/** A link between the two that is measured for a while, instead of until all is there. */
export interface BridgeLink {
  /** Where the far side listens, and where the bridge reaches it. */
  readonly listens: string;
  readonly reached: string;
  readonly port: number;
  readonly seconds: number;
}

/**
 * What a Mosquitto bridge does in the place of a hub: QoS 1 from a Mosquitto that persists to
 * another one, which was away while the backlog grew. The far one has one subscriber, which counts.
 */
export async function drainBridge(
  program: string,
  folder: string,
  load: LoadGenerator,
  shape: LoadShape,
  link?: BridgeLink,
): Promise<DrainRun> {
  const farPort = link?.port ?? (await freePort());
  const host = link?.listens ?? '127.0.0.1';
  const farFolder = join(folder, 'far');
  const farOptions = { host, port: farPort, more: ['queue_qos0_messages true'] };
  const before = await startMosquitto(program, farFolder, farOptions);
  const early = await countingSubscriber(host, farPort);
  await delay(SUBSCRIBED_MS);
  early.close();
  await before.server.stop(); // it keeps the subscription
  const edge = await startMosquitto(program, join(folder, 'edge'), {
    more: [
      'connection far',
      `address ${link?.reached ?? host}:${farPort}`,
      'topic # out 1',
      'cleansession false',
      'notifications false',
      'restart_timeout 1', // the shortest there is
    ],
  });
  try {
    await load.run(edge.mqttPort, shape);
    const residentBytesBefore = edge.server.residentBytes();
    let residentBytesMax = residentBytesBefore;
    const cpuBeforeMs = edge.server.cpuMs();
    const listensMs = performance.now();
    const far = await startMosquitto(program, farFolder, farOptions);
    const subscriber = await countingSubscriber(host, farPort);
    try {
      const isOver = () =>
        link !== undefined &&
        performance.now() - (subscriber.firstMs ?? Number.POSITIVE_INFINITY) > link.seconds * 1000;
      while (subscriber.received < shape.messages && !isOver()) {
        residentBytesMax = Math.max(residentBytesMax, edge.server.residentBytes());
        if (performance.now() - listensMs > DRAIN_MS_MAX)
          throw new Error(`${subscriber.received} of ${shape.messages} came over the bridge`);
        await delay(LOOK_EVERY_MS);
      }
      const endMs = performance.now();
      const firstMs = subscriber.firstMs ?? listensMs;
      return {
        eventsPerSecond: subscriber.received / ((endMs - firstMs) / 1000),
        seconds: (endMs - firstMs) / 1000,
        firstRequestMs: firstMs - listensMs,
        duplicates: Math.max(0, subscriber.received - shape.messages),
        disordered: 0,
        residentBytesBefore,
        residentBytesMax,
        cpuMicros: ((edge.server.cpuMs() - cpuBeforeMs) * 1000) / subscriber.received,
        farCpuMicros: (far.server.cpuMs() * 1000) / subscriber.received,
      };
    } finally {
      subscriber.close();
      await far.server.stop();
    }
  } finally {
    await edge.server.stop();
  }
}
