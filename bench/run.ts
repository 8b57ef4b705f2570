import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchBacklog, describeBacklog } from './backlog.ts';
import { benchDrain, describeDrain } from './drain.ts';
import { benchIngest, describeIngest } from './ingest.ts';
import { benchLatency, describeLatency } from './latency.ts';
import { benchLink, describeLink } from './link.ts';
import { benchLiveDrain, describeLiveDrain } from './live-drain.ts';
import { type LoadGenerator, prepareLoad } from './load.ts';
import { benchSinks, describeSinks } from './sinks.ts';
import { benchWear, describeWear, PROFILES, type Profile } from './wear.ts';
import { ranInNamespace } from './wire.ts';

const USAGE = `npm run bench -- [options]
  --only NAME       one of ingest, drain, live-drain, sinks, link, latency, wear, backlog
                    (default: ingest and drain)
  --pairs N         runs of each side (default 5)
  --messages N      messages of one ingest run, and of wear at full rate (default 200000)
  --events N        backlog of drain, live-drain and backlog (default 300000)
  --seconds N       of one run of latency, live-drain, sinks and link (default 15)
  --megabits N,N    a second, of link (default 1,4,20)
  --order ORDER     of the sink of live-drain (default "{ live_first: { share: 0.3 } }")
  --linger N        linger_ms of the sink of live-drain (default 1000)
  --minutes N       of wear at a trickle (default 2)
  --rates N,N       events a second of the trickles (default 20)
  --connections N,N of the trickles, each (default 1,20)
  --profiles A,B    commit profiles of the trickles (default balanced)
  --folder DIR      where the data goes (default: beside the sources); wear then also looks at what
                    the device of DIR takes, journal included, so nobody else should write there
  --json            the result as JSON on stdout`;

const EXIT_USAGE = 64;
const BENCHES = [
  'ingest',
  'drain',
  'live-drain',
  'sinks',
  'link',
  'latency',
  'wear',
  'backlog',
] as const;
type Bench = (typeof BENCHES)[number];

function isBench(name: string): name is Bench {
  return BENCHES.some((bench) => bench === name);
}

function wholeNumber(name: string, text: string, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new Error(`--${name} is a whole number from 1 to ${max}, not \`${text}\``);
}

function wholeNumbers(name: string, text: string, max: number): number[] {
  return text.split(',').map((each) => wholeNumber(name, each, max));
}

function profileNamed(name: string): Profile {
  const profile = PROFILES.find((each) => each === name);
  if (profile === undefined) throw new Error(`--profiles: there is no profile \`${name}\``);
  return profile;
}

function options() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      pairs: { type: 'string', default: '5' },
      messages: { type: 'string', default: '200000' },
      events: { type: 'string', default: '300000' },
      seconds: { type: 'string', default: '15' },
      megabits: { type: 'string', default: '1,4,20' },
      order: { type: 'string', default: '{ live_first: { share: 0.3 } }' },
      linger: { type: 'string', default: '1000' },
      minutes: { type: 'string', default: '2' },
      rates: { type: 'string', default: '20' },
      connections: { type: 'string', default: '1,20' },
      profiles: { type: 'string', default: 'balanced' },
      folder: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const { only } = values;
  if (only !== undefined && !isBench(only))
    throw new Error(`--only is one of ${BENCHES.join(', ')}, not \`${only}\``);
  return {
    json: values.json,
    folder: values.folder,
    device: values.folder !== undefined,
    benches: only === undefined ? (['ingest', 'drain'] as const) : [only],
    profiles: values.profiles.split(',').map(profileNamed),
    pairs: wholeNumber('pairs', values.pairs, 100),
    messages: wholeNumber('messages', values.messages, 10_000_000),
    events: wholeNumber('events', values.events, 10_000_000),
    seconds: wholeNumber('seconds', values.seconds, 600),
    megabits: wholeNumbers('megabits', values.megabits, 1_000),
    order: values.order,
    lingerMs: wholeNumber('linger', values.linger, 60_000),
    minutes: wholeNumber('minutes', values.minutes, 24 * 60),
    rates: wholeNumbers('rates', values.rates, 10_000),
    connections: wholeNumbers('connections', values.connections, 1_000),
  };
}

type Options = ReturnType<typeof options>;

/** Runs one of them: its report, and the same for people. */
async function measure(
  bench: Bench,
  folder: string,
  load: LoadGenerator,
  wanted: Options,
): Promise<readonly [report: unknown, text: string]> {
  const { pairs, messages, events, seconds } = wanted;
  switch (bench) {
    case 'ingest': {
      const shape = { connections: 50, window: 100, messages, payloadBytes: 100 };
      const report = await benchIngest(folder, load, shape, pairs);
      return [report, describeIngest(report)];
    }
    case 'drain': {
      const report = await benchDrain(folder, load, events, pairs);
      return [report, describeDrain(report)];
    }
    case 'live-drain': {
      const report = await benchLiveDrain(folder, load, { ...wanted, rounds: pairs });
      return [report, describeLiveDrain(report)];
    }
    case 'sinks': {
      const report = await benchSinks(folder, load, seconds, pairs);
      return [report, describeSinks(report)];
    }
    case 'link': {
      const report = await benchLink(folder, load, seconds, wanted.megabits);
      return [report, describeLink(report)];
    }
    case 'latency': {
      const report = await benchLatency(folder, load, seconds, pairs);
      return [report, describeLatency(report)];
    }
    case 'wear': {
      const report = await benchWear(folder, load, wanted);
      return [report, describeWear(report)];
    }
    case 'backlog': {
      const report = await benchBacklog(folder, load, events, pairs);
      return [report, describeBacklog(report)];
    }
  }
}

async function run(wanted: Options): Promise<void> {
  // Beside the sources and not in /tmp, which often is memory: an fsync there costs nothing.
  const parent = wanted.folder ?? join(import.meta.dirname, '..');
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, '.bench-'));
  const say = (text: string) => (wanted.json ? undefined : console.log(`${text}\n`));
  try {
    const load = prepareLoad(folder);
    const machine = {
      node: process.version,
      arch: process.arch,
      processor: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryBytes: totalmem(),
      load: load.kind,
    };
    say(`${machine.cores} x ${machine.processor}, Node.js ${machine.node}, load in ${load.kind}`);
    const reports: Partial<Record<Bench, unknown>> = {};
    for (const bench of wanted.benches) {
      const [report, text] = await measure(bench, folder, load, wanted);
      reports[bench] = report;
      say(text);
    }
    if (wanted.json) console.log(JSON.stringify({ machine, ...reports }, null, 2));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

let wanted: Options | undefined;
try {
  wanted = options();
} catch (error) {
  console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  process.exitCode = EXIT_USAGE;
}
const needsWire = wanted?.benches.some((bench) => bench === 'link') ?? false;
if (wanted && !(needsWire && ranInNamespace())) await run(wanted);
