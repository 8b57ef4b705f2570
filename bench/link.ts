import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../tests/support/free-port.ts';
import { drainBridge } from './bridge-drain.ts';
import { findMosquitto, startHub } from './brokers.ts';
import type { LoadGenerator } from './load.ts';
import { startReceiver } from './receiver.ts';
import { table, thousands } from './statistics.ts';
import { startWire, type Wire, type WireShape } from './wire.ts';

/** What one wire carried: bytes a second of what was sent, without what TCP and IP add. */
export interface LinkRun {
  readonly shape: WireShape;
  /** A plain transfer over as many connections as a sink may use. */
  readonly bulkBytesPerSecond: number;
  /** Request bodies of a drain, compressed. */
  readonly drainBytesPerSecond: number;
  readonly drainEventsPerSecond: number;
  /** Of a Mosquitto bridge, null when Mosquitto is not installed. */
  readonly bridgeEventsPerSecond: number | null;
}

export interface LinkReport {
  readonly seconds: number;
  readonly connections: number;
  readonly runs: readonly LinkRun[];
}

const ROUND_TRIP_MS = 300;
const LOSS = 0.01;
/** `connections_max` of an HTTP sink. */
const CONNECTIONS = 8;
/** What compression leaves of an event of the load generator, at least. */
const EVENT_BYTES_MIN = 16;
/** Far more than a bridge sends while it is looked at. */
const BRIDGE_EVENTS = 400_000;
const CHUNK = randomBytes(64 * 1024);
const FIRST_MS_MAX = 60_000;
const LOOK_EVERY_MS = 25;
const LOG = '{ capacity: { bytes_max: 16 GiB, free_bytes_min: 64 MiB } }';

/** Writes as fast as the wire takes it. */
async function bulk(wire: Wire, port: number, seconds: number): Promise<number> {
  let bytes = 0;
  const server = createServer((socket) => {
    socket.on('data', (chunk) => {
      bytes += chunk.length;
    });
    socket.on('error', () => undefined);
  });
  server.listen(port, wire.listens);
  await once(server, 'listening');
  const sockets = Array.from({ length: CONNECTIONS }, () => {
    const socket = connect(port, wire.reached);
    const fill = () => {
      while (socket.write(CHUNK));
    };
    socket.on('connect', fill).on('drain', fill);
    socket.on('error', () => undefined);
    return socket;
  });
  while (bytes === 0) await delay(LOOK_EVERY_MS);
  const startedMs = performance.now();
  const before = bytes;
  await delay(seconds * 1000);
  const perSecond = ((bytes - before) * 1000) / (performance.now() - startedMs);
  for (const socket of sockets) socket.destroy();
  server.close();
  return perSecond;
}

async function drain(
  folder: string,
  load: LoadGenerator,
  { wire, port, events, seconds }: { wire: Wire; port: number; events: number; seconds: number },
) {
  const retry = '{ delay_min: 100 ms, delay_max: 500 ms }';
  const url = `http://${wire.reached}:${port}/`;
  const sinks = `[{ id: far, type: http, url: "${url}", retry: ${retry} }]`;
  const hub = await startHub(folder, { sinks, log: LOG });
  try {
    const shape = { connections: 50, window: 100, messages: events, payloadBytes: 100 };
    await load.run(hub.mqttPort, shape);
    const receiver = await startReceiver(port, { host: wire.listens });
    try {
      const deadlineMs = performance.now() + FIRST_MS_MAX;
      while (receiver.bytes === 0) {
        if (performance.now() > deadlineMs) throw new Error('nothing came over the wire');
        await delay(LOOK_EVERY_MS);
      }
      const startedMs = performance.now();
      const before = receiver.bytes;
      await delay(seconds * 1000);
      const took = (performance.now() - startedMs) / 1000;
      if (receiver.unique >= events) throw new Error(`${events} events were too few`);
      return {
        drainBytesPerSecond: (receiver.bytes - before) / took,
        drainEventsPerSecond: receiver.unique / took,
      };
    } finally {
      await receiver.close();
    }
  } finally {
    await hub.server.stop();
  }
}

async function bridge(
  folder: string,
  load: LoadGenerator,
  program: string,
  { wire, port, seconds }: { wire: Wire; port: number; seconds: number },
): Promise<number> {
  const shape = { connections: 50, window: 100, messages: BRIDGE_EVENTS, payloadBytes: 100 };
  const run = await drainBridge(program, folder, load, shape, { ...wire, port, seconds });
  return run.eventsPerSecond;
}

/** A long way that loses packets: what of its bandwidth a drain uses. */
export async function benchLink(
  folder: string,
  load: LoadGenerator,
  seconds: number,
  megabits: readonly number[],
): Promise<LinkReport> {
  const program = findMosquitto();
  const runs: LinkRun[] = [];
  for (const mbit of megabits) {
    const shape = { roundTripMs: ROUND_TRIP_MS, loss: LOSS, bitsPerSecond: mbit * 1e6 };
    const bulkPort = await freePort();
    const hubPort = await freePort();
    const bridgePort = await freePort();
    const wire = await startWire(folder, shape, [bulkPort, hubPort, bridgePort], mbit);
    try {
      const bulkBytesPerSecond = await bulk(wire, bulkPort, seconds);
      const events = Math.ceil((shape.bitsPerSecond * (seconds + 2)) / 8 / EVENT_BYTES_MIN);
      const place = join(folder, `link-${mbit}`);
      const drained = await drain(place, load, { wire, port: hubPort, events, seconds });
      const bridgeEventsPerSecond =
        program === undefined
          ? null
          : await bridge(join(place, 'bridge'), load, program, { wire, port: bridgePort, seconds });
      runs.push({ shape, bulkBytesPerSecond, ...drained, bridgeEventsPerSecond });
    } finally {
      await wire.close();
    }
  }
  return { seconds, connections: CONNECTIONS, runs };
}

export function describeLink({ seconds, connections, runs }: LinkReport): string {
  const rows = runs.map((run) => {
    const { shape, bulkBytesPerSecond, drainBytesPerSecond, drainEventsPerSecond } = run;
    const share = (bytes: number) => ((bytes * 8) / shape.bitsPerSecond).toFixed(2);
    const bridge = run.bridgeEventsPerSecond;
    return [
      `${shape.bitsPerSecond / 1e6} Mbit/s`,
      share(bulkBytesPerSecond),
      share(drainBytesPerSecond),
      (drainBytesPerSecond / bulkBytesPerSecond).toFixed(2),
      thousands(drainEventsPerSecond),
      bridge === null ? '-' : thousands(bridge),
      bridge === null ? '-' : (drainEventsPerSecond / bridge).toFixed(1),
    ];
  });
  return [
    `Link: ${ROUND_TRIP_MS} ms round trip, ${LOSS * 100} % loss, for ${seconds} s; share of the ` +
      `bandwidth that a plain transfer over ${connections} connections and a drain make use of`,
    table(['', 'plain', 'drain', 'drain/plain', 'events/s', 'bridge events/s', 'ratio'], rows),
  ].join('\n');
}
