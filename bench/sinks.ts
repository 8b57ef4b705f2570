import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../tests/support/free-port.ts';
import { startHub } from './brokers.ts';
import { lagsOf } from './hub-status.ts';
import type { LoadGenerator } from './load.ts';
import { type Receiver, startReceiver } from './receiver.ts';
import { median, quantile, table, thousands } from './statistics.ts';

/** How three healthy sinks do. */
export interface HealthySinks {
  /** Events that one of them has not settled, of all looks at all of them. */
  readonly lagP50: number;
  readonly lagP95: number;
  /** Publish to far side, of all three. */
  readonly latencyP50Ms: number;
  readonly latencyP95Ms: number;
}

export interface SinksReport {
  readonly rate: number;
  readonly seconds: number;
  readonly alone: readonly HealthySinks[];
  /** Beside one that refuses every connection, one that hangs, and one that is slow. */
  readonly beside: readonly HealthySinks[];
}

const HEALTHY = 3;
const RATE = 5_000;
const LINGER_MS = 50;
const LOOK_EVERY_MS = 100;
/** Ten times what a batch takes that has gathered for LINGER_MS. */
const SLOW_MS = 500;
/** No request of a run lasts as long. */
const HANGING_MS = 3_600_000;

function sinkYaml(id: string, port: number): string {
  const retry = 'retry: { delay_min: 100 ms, delay_max: 1 s }';
  const batch = `batch: { linger_ms: ${LINGER_MS} }`;
  const url = `"http://127.0.0.1:${port}/"`;
  return `{ id: ${id}, type: http, url: ${url}, timeout: 2 s, ${retry}, ${batch} }`;
}

async function oneRun(
  folder: string,
  load: LoadGenerator,
  { ailing, rate, seconds }: { ailing: boolean; rate: number; seconds: number },
): Promise<HealthySinks> {
  const receivers: Receiver[] = [];
  const sinks: string[] = [];
  const start = async (id: string, delayMs?: number) => {
    const port = await freePort();
    sinks.push(sinkYaml(id, port));
    const receiver = await startReceiver(port, delayMs === undefined ? {} : { delayMs });
    receivers.push(receiver);
    return receiver;
  };
  const healthy: Receiver[] = [];
  for (let index = 0; index < HEALTHY; index++) healthy.push(await start(`healthy${index}`));
  if (ailing) {
    sinks.push(sinkYaml('refusing', await freePort())); // nobody listens there
    await start('hanging', HANGING_MS);
    await start('slow', SLOW_MS);
  }
  const hub = await startHub(folder, { sinks: `[${sinks.join(', ')}]` });
  const shape = { connections: 50, window: 100, payloadBytes: 100 };
  try {
    await load.run(hub.mqttPort, { ...shape, messages: rate, rate }); // the compiler warms up
    const latencies = healthy.map((receiver) => receiver.liveSince(Date.now()));
    const lags: number[] = [];
    const over = new AbortController();
    const looking = (async () => {
      while (!over.signal.aborted) {
        lags.push(...(await lagsOf(hub)).slice(0, HEALTHY));
        await delay(LOOK_EVERY_MS);
      }
    })();
    await load.run(hub.mqttPort, { ...shape, messages: rate * seconds, rate });
    over.abort();
    await looking;
    const all = latencies.flat();
    return {
      lagP50: quantile(lags, 0.5),
      lagP95: quantile(lags, 0.95),
      latencyP50Ms: quantile(all, 0.5),
      latencyP95Ms: quantile(all, 0.95),
    };
  } finally {
    await hub.server.stop();
    for (const receiver of receivers) await receiver.close();
  }
}

/** Three healthy sinks, alone and beside three that ail, in turn. */
export async function benchSinks(
  folder: string,
  load: LoadGenerator,
  seconds: number,
  pairs: number,
): Promise<SinksReport> {
  const alone: HealthySinks[] = [];
  const beside: HealthySinks[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    for (const ailing of [false, true]) {
      const place = join(folder, `sinks-${pair}-${ailing ? 'beside' : 'alone'}`);
      const run = await oneRun(place, load, { ailing, rate: RATE, seconds });
      (ailing ? beside : alone).push(run);
    }
  }
  return { rate: RATE, seconds, alone, beside };
}

export function describeSinks({ rate, seconds, alone, beside }: SinksReport): string {
  const row = (name: string, runs: readonly HealthySinks[]) => {
    const of = (value: (run: HealthySinks) => number) => median(runs.map(value));
    return [
      name,
      thousands(of((run) => run.lagP50)),
      thousands(of((run) => run.lagP95)),
      of((run) => run.latencyP50Ms).toFixed(0),
      of((run) => run.latencyP95Ms).toFixed(0),
    ];
  };
  return [
    `Sinks: ${HEALTHY} healthy ones at ${thousands(rate)} msg/s for ${seconds} s, linger ` +
      `${LINGER_MS} ms; beside a refusing, a hanging and a slow one; medians of ${alone.length}`,
    table(
      ['', 'lag p50', 'lag p95', 'latency p50 ms', 'p95 ms'],
      [row('alone', alone), row('beside', beside)],
    ),
  ].join('\n');
}
