import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startHub } from './brokers.ts';
import type { LoadGenerator } from './load.ts';
import { median, quantile, table } from './statistics.ts';

const PROFILES = ['latency', 'balanced'] as const;
type Profile = (typeof PROFILES)[number];

export interface LatencyRun {
  readonly profile: Profile;
  readonly ackP50Ms: number;
  readonly ackP99Ms: number;
  /** Of the same disk, right before and after, with a millisecond between two. */
  readonly fsyncP50Ms: number;
  readonly fsyncP99Ms: number;
}

export interface LatencyReport {
  readonly rate: number;
  readonly seconds: number;
  readonly runs: readonly LatencyRun[];
}

const RATE = 1000;
const FSYNCS = 500;
/** About what one event adds to the log. */
const RECORD = Buffer.alloc(150, 0x78);

/** Appends and fsyncs, as a log does, on the disk of `folder`. In ms. */
async function fsyncTimes(folder: string): Promise<number[]> {
  let file: FileHandle | undefined;
  const times: number[] = [];
  try {
    file = await open(join(folder, 'fsync'), 'a');
    for (let i = 0; i < FSYNCS; i++) {
      const startedMs = performance.now();
      await file.write(RECORD);
      await file.datasync();
      times.push(performance.now() - startedMs);
      await delay(1);
    }
  } finally {
    await file?.close();
  }
  return times;
}

/** Time to the acknowledgement at a paced rate, against one fsync of the same disk. */
export async function benchLatency(
  folder: string,
  load: LoadGenerator,
  seconds: number,
  rounds: number,
): Promise<LatencyReport> {
  const runs: LatencyRun[] = [];
  const shape = { connections: 50, window: 100, payloadBytes: 100 };
  for (let round = 0; round < rounds; round++) {
    for (const profile of PROFILES) {
      const place = join(folder, `latency-${profile}-${round}`);
      const hub = await startHub(place, { log: `{ commit: { profile: ${profile} } }` });
      try {
        await load.run(hub.mqttPort, { ...shape, messages: 50_000 }); // the compiler warms up
        const before = await fsyncTimes(place);
        const messages = RATE * seconds;
        const { ackMs } = await load.run(hub.mqttPort, { ...shape, messages, rate: RATE });
        const fsyncs = [...before, ...(await fsyncTimes(place))];
        runs.push({
          profile,
          ackP50Ms: ackMs.p50,
          ackP99Ms: ackMs.p99,
          fsyncP50Ms: median(fsyncs),
          fsyncP99Ms: quantile(fsyncs, 0.99),
        });
      } finally {
        await hub.server.stop();
      }
    }
  }
  return { rate: RATE, seconds, runs };
}

export function describeLatency({ rate, seconds, runs }: LatencyReport): string {
  const rows = PROFILES.map((profile) => {
    const those = runs.filter((run) => run.profile === profile);
    const of = (value: (run: LatencyRun) => number) => median(those.map(value)).toFixed(2);
    return [
      profile,
      of((run) => run.ackP50Ms),
      of((run) => run.ackP99Ms),
      of((run) => run.fsyncP50Ms),
      of((run) => run.fsyncP99Ms),
      of((run) => run.ackP99Ms / run.fsyncP50Ms),
      of((run) => run.ackP99Ms / run.fsyncP99Ms),
    ];
  });
  const header = ['', 'ack p50 ms', 'p99 ms', 'fsync p50 ms', 'p99 ms', 'p99/p50', 'p99/p99'];
  return [
    `Latency: ${rate} msg/s over 50 connections for ${seconds} s; ` +
      `median of ${runs.length / PROFILES.length}; the last two: ack p99 in fsyncs`,
    table(header, rows),
  ].join('\n');
}
