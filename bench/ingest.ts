import { join } from 'node:path';
import { type Broker, findMosquitto, startHub, startMosquitto } from './brokers.ts';
import type { LoadGenerator, LoadShape } from './load.ts';
import { median, table, thousands } from './statistics.ts';

/** One run of one broker. */
export interface IngestRun {
  readonly messagesPerSecond: number;
  readonly ackP50Ms: number;
  readonly ackP99Ms: number;
  /** Processor time of the broker, user and system, for one message. */
  readonly cpuMicrosPerMessage: number;
}

export interface IngestReport {
  readonly shape: LoadShape;
  readonly holdfast: readonly IngestRun[];
  /** Empty when Mosquitto is not installed. */
  readonly mosquitto: readonly IngestRun[];
  /** Medians of the runs; `ratio` is Holdfast to Mosquitto in messages a second. */
  readonly ratio: number | null;
}

async function measure(broker: Broker, load: LoadGenerator, shape: LoadShape): Promise<IngestRun> {
  try {
    // Once without counting: a hub runs for months, its just-in-time compiler warms up in a second.
    await load.run(broker.mqttPort, shape);
    const cpuBeforeMs = broker.server.cpuMs();
    const result = await load.run(broker.mqttPort, shape);
    const cpuMs = broker.server.cpuMs() - cpuBeforeMs;
    return {
      messagesPerSecond: result.messages / result.seconds,
      ackP50Ms: result.ackMs.p50,
      ackP99Ms: result.ackMs.p99,
      cpuMicrosPerMessage: (cpuMs * 1000) / result.messages,
    };
  } finally {
    await broker.server.stop();
  }
}

/**
 * Durable ingest: Holdfast (acknowledges after the fsync) and Mosquitto (does not fsync) in turn,
 * each time from an empty folder, so that a drift of the machine meets both.
 */
export async function benchIngest(
  folder: string,
  load: LoadGenerator,
  shape: LoadShape,
  pairs: number,
): Promise<IngestReport> {
  const program = findMosquitto();
  const holdfast: IngestRun[] = [];
  const mosquitto: IngestRun[] = [];
  for (let i = 0; i < pairs; i++) {
    const place = join(folder, `ingest-${i}`);
    holdfast.push(await measure(await startHub(join(place, 'hub')), load, shape));
    if (program === undefined) continue;
    const peer = await startMosquitto(program, join(place, 'mosquitto'));
    mosquitto.push(await measure(peer, load, shape));
  }
  const rate = (runs: readonly IngestRun[]) => median(runs.map((run) => run.messagesPerSecond));
  const ratio = mosquitto.length > 0 ? rate(holdfast) / rate(mosquitto) : null;
  return { shape, holdfast, mosquitto, ratio };
}

export function describeIngest({ shape, holdfast, mosquitto, ratio }: IngestReport): string {
  const row = (name: string, runs: readonly IngestRun[], against: string) => [
    name,
    thousands(median(runs.map((run) => run.messagesPerSecond))),
    median(runs.map((run) => run.ackP50Ms)).toFixed(1),
    median(runs.map((run) => run.ackP99Ms)).toFixed(1),
    median(runs.map((run) => run.cpuMicrosPerMessage)).toFixed(2),
    against,
  ];
  const rows = [row('Holdfast', holdfast, ratio === null ? '-' : ratio.toFixed(2))];
  if (mosquitto.length > 0) rows.push(row('Mosquitto', mosquitto, '1.00'));
  const { connections, window, messages, payloadBytes } = shape;
  return [
    `Ingest: QoS 1, ${connections} connections, window ${window}, ${thousands(messages)} messages of ` +
      `${payloadBytes} bytes; median of ${holdfast.length}`,
    table(['', 'msg/s', 'ack p50 ms', 'ack p99 ms', 'CPU us/msg', 'ratio'], rows),
    ...(mosquitto.length > 0 ? [] : ['Mosquitto is not installed: apt-get install mosquitto']),
  ].join('\n');
}
