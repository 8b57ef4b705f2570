import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { freePort } from './free-port.ts';

const PROGRAM = 'victoria-metrics';
/** A start takes 0.1 s here; a loaded machine with a cold disk is given 150 times that. */
const START_TIMEOUT_MS = 15_000;
/** Another process can take the port before we use it; that does not happen five times. */
const START_ATTEMPTS_MAX = 5;
/** It flushes to disk on SIGTERM; after this it is stuck. */
const STOP_TIMEOUT_MS = 10_000;
const POLL_MS = 25;
/** Of the program's own output, enough to say why it did not start. */
const OUTPUT_KEPT_CHARS = 4_000;

const SAMPLE = z.tuple([z.number(), z.string()]);
const LABELS = z.record(z.string(), z.string());
const ANSWER = z.object({
  status: z.literal('success'),
  data: z.object({
    result: z.array(
      z.object({ metric: LABELS, value: SAMPLE.optional(), values: z.array(SAMPLE).optional() }),
    ),
  }),
});
const NAMES_ANSWER = z.object({ status: z.literal('success'), data: z.array(z.string()) });
const SERIES_ANSWER = z.object({ status: z.literal('success'), data: z.array(LABELS) });

/** One series of an answer: its labels (`__name__` among them) and its points, oldest first. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly points: readonly { readonly timeMs: number; readonly value: number }[];
}

/** The range and step of a range query. */
export interface QueryRange {
  readonly fromMs: number;
  readonly toMs: number;
  readonly stepMs: number;
}

/** A running victoria-metrics with its own folder, on a loopback port that stays the same. */
export interface VictoriaMetrics {
  /** `http://127.0.0.1:<port>`, without a trailing slash. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** PromQL at one time (default: now). Throws with the server's message when it is refused. */
  query(expr: string, timeMs?: number): Promise<readonly Series[]>;
  queryRange(expr: string, range: QueryRange): Promise<readonly Series[]>;
  /** The label sets of the series that match, over all times. */
  series(selector: string): Promise<readonly Readonly<Record<string, string>>[]>;
  /** The values of one label, of the series that match, over all times. */
  labelValues(label: string, selector?: string): Promise<readonly string[]>;
  /** Every stored point of the series that match, exactly as stored. */
  exportPoints(selector: string): Promise<readonly Series[]>;
  /** Stores Prometheus text, as a scrape at `timeMs` (default: now) would, plus `labels`. */
  importText(text: string, timeMs?: number, labels?: Record<string, string>): Promise<void>;
  /** Makes what was accepted visible to queries at once, instead of within some seconds. */
  flush(): Promise<void>;
  /** SIGKILL: what was accepted but not yet on disk is lost. The folder and the port are kept. */
  kill(): Promise<void>;
  /** Starts it again after `kill`, on the same folder and port. */
  start(): Promise<void>;
  /** Ends it and removes its folder. May be called after `kill`, and twice. */
  stop(): Promise<void>;
}

/** Whether the program is there. When not: skips `t`, or throws with HOLDFAST_REQUIRE_PEERS=1. */
export function hasVictoriaMetrics(t: TestContext): boolean {
  const found = spawnSync(PROGRAM, ['-version'], { stdio: 'ignore' }).error === undefined;
  if (found) return true;
  const hint = `needs ${PROGRAM}: apt-get install ${PROGRAM}`;
  if (process.env['HOLDFAST_REQUIRE_PEERS'] === '1') throw new Error(hint);
  t.skip(hint);
  return false;
}

async function fetchText(url: string | URL, init: RequestInit = {}): Promise<string> {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(10_000) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} from victoria-metrics: ${text.trim()}`);
  return text;
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    return (await fetchText(`${url}/health`)) === 'OK';
  } catch {
    return false; // not listening yet
  }
}

/** Starts it and waits until it serves. Throws with its output when it ends before that. */
async function launch(port: number, flags: readonly string[]): Promise<ChildProcess> {
  const process_ = spawn(PROGRAM, [`-httpListenAddr=127.0.0.1:${port}`, ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-OUTPUT_KEPT_CHARS);
  };
  process_.stdout.on('data', keep);
  process_.stderr.on('data', keep);
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    if (process_.exitCode !== null) throw new Error(`${PROGRAM} ended: ${output}`);
    if (await isHealthy(`http://127.0.0.1:${port}`)) {
      // Another server may answer on this port while ours is still about to fail to bind it.
      if (process_.exitCode === null) return process_;
    }
    if (performance.now() > deadlineMs) {
      process_.kill('SIGKILL');
      throw new Error(`${PROGRAM} did not serve within ${START_TIMEOUT_MS} ms: ${output}`);
    }
    await delay(POLL_MS);
  }
}

async function end(process_: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (process_.exitCode !== null || process_.signalCode !== null) return;
  const ended = once(process_, 'exit');
  process_.kill(signal);
  const stuck = setTimeout(() => process_.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(stuck);
}

function points(samples: readonly z.output<typeof SAMPLE>[]): Series['points'] {
  return samples.map(([seconds, value]) => ({ timeMs: seconds * 1000, value: Number(value) }));
}

async function ask(url: URL): Promise<readonly Series[]> {
  const answer = ANSWER.parse(JSON.parse(await fetchText(url)));
  return answer.data.result.map(({ metric, value, values }) => ({
    labels: metric,
    points: points(values ?? (value ? [value] : [])),
  }));
}

const EXPORT_LINE = z.object({
  metric: LABELS,
  values: z.array(z.number().nullable()),
  timestamps: z.array(z.number()),
});

async function exported(url: URL): Promise<readonly Series[]> {
  const lines = (await fetchText(url)).split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const { metric, values, timestamps } = EXPORT_LINE.parse(JSON.parse(line));
    return {
      labels: metric,
      points: timestamps.map((timeMs, i) => ({ timeMs, value: values[i] ?? Number.NaN })),
    };
  });
}

type Client = Omit<VictoriaMetrics, 'pid' | 'kill' | 'start' | 'stop'>;

function client(port: number): Client {
  const url = `http://127.0.0.1:${port}`;
  /** 0 means "not given"; an end beyond the retention makes 1.79 answer with nothing. */
  const allTimes = { start: '1' };
  const at = (path: string, parameters: Record<string, string>): URL =>
    new URL(`${path}?${new URLSearchParams(parameters)}`, url);
  return {
    url,
    port,
    query: (query, timeMs = Date.now()) =>
      ask(at('/api/v1/query', { query, time: String(timeMs / 1000), nocache: '1' })),
    queryRange: (query, { fromMs, toMs, stepMs }) =>
      ask(
        at('/api/v1/query_range', {
          query,
          start: String(fromMs / 1000),
          end: String(toMs / 1000),
          step: String(stepMs / 1000),
          nocache: '1', // a test must see what was stored a moment ago
        }),
      ),
    async series(selector) {
      const address = at('/api/v1/series', { 'match[]': selector, ...allTimes });
      return SERIES_ANSWER.parse(JSON.parse(await fetchText(address))).data;
    },
    async labelValues(label, selector) {
      const match: Record<string, string> = selector === undefined ? {} : { 'match[]': selector };
      const address = at(`/api/v1/label/${label}/values`, { ...match, ...allTimes });
      return NAMES_ANSWER.parse(JSON.parse(await fetchText(address))).data;
    },
    exportPoints: (selector) => exported(at('/api/v1/export', { 'match[]': selector })),
    async importText(text, timeMs = Date.now(), labels = {}) {
      const address = at('/api/v1/import/prometheus', { timestamp: String(timeMs) });
      for (const [label, value] of Object.entries(labels))
        address.searchParams.append('extra_label', `${label}=${value}`);
      await fetchText(address, { method: 'POST', body: text });
    },
    async flush() {
      await fetchText(`${url}/internal/force_flush`);
    },
  };
}

/**
 * Starts a real victoria-metrics with the flags the project recommends, in a temporary folder.
 * `flags` are added, for example `-promscrape.config=FILE`; a flag that is given replaces ours.
 */
export async function startVictoriaMetrics(
  options: { readonly flags?: readonly string[] } = {},
): Promise<VictoriaMetrics> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-vm-'));
  const flags = [
    `-storageDataPath=${folder}`,
    '-retentionPeriod=1y',
    '-dedup.minScrapeInterval=1ms',
    '-search.latencyOffset=1s',
    '-memory.allowedBytes=128MB',
    ...(options.flags ?? []),
  ];
  const flagsByName = new Map(flags.map((flag) => [flag.split('=')[0], flag]));
  const allFlags = [...flagsByName.values()];
  let port = await freePort();
  let process_: ChildProcess | undefined;
  for (let attempt = 1; process_ === undefined; attempt++) {
    try {
      process_ = await launch(port, allFlags);
    } catch (error) {
      if (attempt === START_ATTEMPTS_MAX) {
        await rm(folder, { recursive: true, force: true });
        throw error;
      }
      port = await freePort();
    }
  }
  let running = process_;
  return {
    ...client(port),
    get pid() {
      return running.pid ?? -1;
    },
    kill: () => end(running, 'SIGKILL'),
    async start() {
      running = await launch(port, allFlags);
    },
    async stop() {
      await end(running, 'SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}
