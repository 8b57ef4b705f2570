import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../tests/support/free-port.ts';
import { drainBridge } from './bridge-drain.ts';
import { findMosquitto, type Hub, startHub } from './brokers.ts';
import { lagOf } from './hub-status.ts';
import type { LoadGenerator, LoadShape } from './load.ts';
import { type Receiver, startReceiver } from './receiver.ts';
import { median, table, thousands } from './statistics.ts';

/** One backlog that one hub or bridge has sent on. */
export interface DrainRun {
  /** From the first delivery until the far side had every event. */
  readonly seconds: number;
  readonly eventsPerSecond: number;
  /** From the moment the far side listens to the first delivery. */
  readonly firstRequestMs: number;
  readonly duplicates: number;
  readonly disordered: number;
  /** Resident memory: with the backlog before the drain, and at most during it. */
  readonly residentBytesBefore: number;
  readonly residentBytesMax: number;
  /** Processor time for one event, user and system: of the hub or bridge, and of the far side. */
  readonly cpuMicros: number;
  readonly farCpuMicros: number;
}

export interface DrainReport {
  readonly events: number;
  readonly holdfast: readonly DrainRun[];
  /** Empty when Mosquitto is not installed. */
  readonly mosquitto: readonly DrainRun[];
  /** Of events a second, Holdfast to the bridge: the median of the pairs. */
  readonly ratio: number | null;
}

const LOOK_EVERY_MS = 25;
/** At a tenth of what is expected a million events still drain in this time. */
const DRAIN_MS_MAX = 120_000;
/** The waits are short, because finding out that the far side is back is not what is measured. */
const RETRY = '{ delay_min: 100 ms, delay_max: 500 ms }';
/** A million events of the log, with room to spare. */
const LOG = '{ capacity: { bytes_max: 16 GiB, free_bytes_min: 64 MiB } }';

/**
 * The far side is away while a backlog of `events` grows; then it returns, and everything follows.
 * Holdfast and a Mosquitto bridge in turn, each from an empty folder.
 */
export async function benchDrain(
  folder: string,
  load: LoadGenerator,
  events: number,
  pairs: number,
): Promise<DrainReport> {
  const program = findMosquitto();
  const shape = { connections: 50, window: 100, messages: events, payloadBytes: 100 };
  const holdfast: DrainRun[] = [];
  const mosquitto: DrainRun[] = [];
  const ratios: number[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    const ours = await drainHub(join(folder, `drain-${pair}`), load, shape);
    holdfast.push(ours);
    if (program === undefined) continue;
    const theirs = await drainBridge(program, join(folder, `bridge-${pair}`), load, shape);
    mosquitto.push(theirs);
    ratios.push(ours.eventsPerSecond / theirs.eventsPerSecond);
  }
  return { events, holdfast, mosquitto, ratio: ratios.length > 0 ? median(ratios) : null };
}

async function drainHub(folder: string, load: LoadGenerator, shape: LoadShape): Promise<DrainRun> {
  const events = shape.messages;
  const port = await freePort();
  const sinks = `[{ id: far, type: http, url: "http://127.0.0.1:${port}/", retry: ${RETRY} }]`;
  const hub = await startHub(folder, { sinks, log: LOG });
  try {
    await load.run(hub.mqttPort, shape);
    const lag = await lagOf(hub);
    if (lag !== events) throw new Error(`the backlog is ${lag} events, not ${events}`);
    const residentBytesBefore = hub.server.residentBytes();
    const cpuBeforeMs = hub.server.cpuMs();
    const farBefore = process.cpuUsage();
    const listensMs = performance.now();
    const receiver = await startReceiver(port);
    try {
      const drained = await drain(hub, receiver, events);
      const firstMs = receiver.firstMs ?? listensMs;
      const seconds = (drained.endMs - firstMs) / 1000;
      const far = process.cpuUsage(farBefore);
      return {
        seconds,
        eventsPerSecond: events / seconds,
        firstRequestMs: firstMs - listensMs,
        duplicates: receiver.duplicates,
        disordered: receiver.disordered,
        residentBytesBefore,
        residentBytesMax: Math.max(residentBytesBefore, drained.residentBytesMax),
        cpuMicros: ((hub.server.cpuMs() - cpuBeforeMs) * 1000) / events,
        farCpuMicros: (far.user + far.system) / events,
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

function row(name: string, runs: readonly DrainRun[], ratio: string): string[] {
  const of = (value: (run: DrainRun) => number) => median(runs.map(value));
  const sum = (value: (run: DrainRun) => number) => runs.reduce((all, run) => all + value(run), 0);
  return [
    name,
    thousands(of((run) => run.eventsPerSecond)),
    of((run) => run.seconds).toFixed(2),
    of((run) => run.firstRequestMs).toFixed(0),
    String(sum((run) => run.duplicates)),
    String(sum((run) => run.disordered)),
    of((run) => run.residentBytesBefore / MIB).toFixed(0),
    of((run) => run.residentBytesMax / MIB).toFixed(0),
    of((run) => (run.residentBytesMax - run.residentBytesBefore) / MIB).toFixed(0),
    of((run) => run.cpuMicros).toFixed(1),
    of((run) => run.farCpuMicros).toFixed(1),
    ratio,
  ];
}

export function describeDrain({ events, holdfast, mosquitto, ratio }: DrainReport): string {
  const header = ['', 'events/s', 'seconds', 'first ms', 'duplicates', 'disorder'];
  const memory = ['RSS MiB', 'RSS max', 'grew', 'cpu us/event', 'far side', 'ratio'];
  const rows = [row('Holdfast', holdfast, ratio === null ? '-' : ratio.toFixed(2))];
  if (mosquitto.length > 0) rows.push(row('bridge', mosquitto, '1.00'));
  return [
    `Drain: ${thousands(events)} events of 100 bytes to a far side that was away; ` +
      `medians of ${holdfast.length}`,
    'Holdfast over HTTP with gzip; bridge: Mosquitto, QoS 1, to a Mosquitto with one subscriber',
    table([...header, ...memory], rows),
  ].join('\n');
}
