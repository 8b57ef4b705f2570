import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchDrain, describeDrain } from './drain.ts';
import { benchIngest, describeIngest } from './ingest.ts';
import { prepareLoad } from './load.ts';

const USAGE = `npm run bench -- [options]
  --only ingest|drain   one of the two (default: both)
  --pairs N             runs of each broker (default 5)
  --messages N          messages of one ingest run (default 200000)
  --events N            backlog of the drain (default 300000)
  --json                the result as JSON on stdout`;

const EXIT_USAGE = 64;

function options() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      pairs: { type: 'string', default: '5' },
      messages: { type: 'string', default: '200000' },
      events: { type: 'string', default: '300000' },
      json: { type: 'boolean', default: false },
    },
  });
  const count = (name: 'pairs' | 'messages' | 'events', max: number) => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value >= 1 && value <= max) return value;
    throw new Error(`--${name} is a whole number from 1 to ${max}, not \`${values[name]}\``);
  };
  if (values.only !== undefined && values.only !== 'ingest' && values.only !== 'drain')
    throw new Error(`--only is ingest or drain, not \`${values.only}\``);
  return {
    ...values,
    pairs: count('pairs', 100),
    messages: count('messages', 10_000_000),
    events: count('events', 10_000_000),
  };
}

type Options = ReturnType<typeof options>;

async function run(wanted: Options): Promise<void> {
  // Beside the sources and not in /tmp, which often is memory: an fsync there costs nothing.
  const parent = join(import.meta.dirname, '..');
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
    const shape = { connections: 50, window: 100, messages: wanted.messages, payloadBytes: 100 };
    const ingest =
      wanted.only === 'drain' ? null : await benchIngest(folder, load, shape, wanted.pairs);
    if (ingest) say(describeIngest(ingest));
    const drain = wanted.only === 'ingest' ? null : await benchDrain(folder, load, wanted.events);
    if (drain) say(describeDrain(drain));
    if (wanted.json) console.log(JSON.stringify({ machine, ingest, drain }, null, 2));
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
if (wanted) await run(wanted);
