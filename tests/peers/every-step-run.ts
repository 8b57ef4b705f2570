/** Runs a scenario with a fault at one exact step, see every-step.c. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { packageRoot } from '../../config/find-file.ts';
import { LANES, type Lane } from '../../hub/core/event.ts';

const CHILD = join(import.meta.dirname, 'every-step-child.js');
/** A scenario takes 0.3 s, and waits 0.5 s for each try to open after an error. */
const LIFE_MS_MAX = 60_000;

/** Where the numbers of a scenario begin; what it was prepared with is before. */
export const FIRST_NUMBER = 1_000_000;

const CHANGES = 'write,sync,truncate,rename,unlink,link,mkdir,create,';
const TAKES_SPACE = 'write,link,mkdir,create,';

/** What can be done to a process at a step, and to which calls. */
export const FAULTS = {
  kill: { calls: CHANGES, action: 'kill' },
  tear: { calls: 'write,', action: 'tear' },
  'no-space': {
    calls: TAKES_SPACE,
    action: 'short',
    errno: constants.errno.ENOSPC,
    fails: 1,
  },
  'no-space-for-a-while': {
    calls: TAKES_SPACE,
    action: 'fail',
    errno: constants.errno.ENOSPC,
    fails: 4,
  },
  'bad-disk': {
    calls: CHANGES,
    action: 'fail',
    errno: constants.errno.EIO,
    fails: 1,
  },
} as const;
export type Fault = keyof typeof FAULTS;

/** How many of these steps, as an undisturbed run has them, count for `fault`. */
export function stepsFor(fault: Fault, steps: readonly string[]): number {
  const calls = FAULTS[fault].calls.split(',');
  return steps.filter((step) => calls.includes(step.split(' ')[0] ?? '')).length;
}

/** What a process has said so far, over all runs on one folder. */
export class Promised {
  readonly acknowledged = new Map<Lane, number[]>(LANES.map((lane) => [lane, []]));
  readonly tails = new Map<Lane, number>();
  readonly settled = new Map<Lane, Set<number>>(LANES.map((lane) => [lane, new Set([0])]));
  /** Replays that were asked for, and what the far side has had of them. */
  readonly replays: number[] = [];
  readonly replayed: string[] = [];
  refused: string | undefined;
  done = false;

  take(text: string): void {
    for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) this.#takeLine(line);
  }

  copy(): Promised {
    const copy = new Promised();
    for (const lane of LANES) {
      copy.acknowledged.get(lane)?.push(...(this.acknowledged.get(lane) ?? []));
      for (const offset of this.settled.get(lane) ?? []) copy.settled.get(lane)?.add(offset);
    }
    for (const [lane, tail] of this.tails) copy.tails.set(lane, tail);
    return copy;
  }

  #takeLine(line: string): void {
    const [word, first = '', second = ''] = line.split(' ');
    const lane = LANES.find((name) => name === first);
    if (word === 'DONE') this.done = true;
    else if (word === 'REFUSED') this.refused = first;
    else if (word === 'REPLAY') this.replays.push(Number(first));
    else if (word === 'REPLAYED') this.replayed.push(first);
    else if (!lane) return;
    else if (word === 'ACK') this.acknowledged.get(lane)?.push(Number(second));
    else if (word === 'SETTLE') this.settled.get(lane)?.add(Number(second));
    else if (word === 'TAIL') this.tails.set(lane, Number(second));
  }
}

export interface ScenarioRun {
  readonly folder: string;
  readonly scenario: string;
  /** The number of its first event. */
  readonly first: number;
  /** Without one nothing happens to it. */
  readonly fault?: Fault;
  /** The step, from 1; 0 only counts. */
  readonly at?: number;
}

export interface Ended {
  readonly how: number | NodeJS.Signals | null;
  readonly stderr: string;
  /** `write /log/000003.log`, in order. Steps after a fault are among them. */
  readonly steps: readonly string[];
}

/** Builds the library that counts steps. Throws with the compiler's words. */
export function buildSteps(file: string): void {
  const source = join(packageRoot(), 'tests', 'peers', 'every-step.c');
  const built = spawnSync('gcc', ['-shared', '-fPIC', '-O1', '-o', file, source, '-ldl'], {
    encoding: 'utf8',
  });
  if (built.status !== 0) throw new Error(`gcc: ${built.error ?? built.stderr}`);
}

export async function runScenario(
  library: string,
  { folder, scenario, first, fault = 'kill', at = 0 }: ScenarioRun,
  promised: Promised,
): Promise<Ended> {
  const { calls, action, ...error } = FAULTS[fault];
  const log = `${folder}.steps`;
  const child = spawn(process.execPath, [CHILD, folder, scenario, String(first)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIFE_MS_MAX,
    env: {
      ...process.env,
      LD_PRELOAD: library,
      TMPDIR: dirname(folder), // what a killed process leaves there goes with the folder
      STEP_FOLDER: folder,
      STEP_CALLS: calls,
      STEP_AT: String(at),
      STEP_DO: action,
      STEP_ERRNO: String('errno' in error ? error.errno : 0),
      STEP_FAILS: String('fails' in error ? error.fails : 1),
      STEP_LOG: log,
    },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const [code, signal] = await once(child, 'close');
  promised.take(stdout);
  const lines = (await readFile(log, 'utf8').catch(() => '')).trimEnd().split('\n');
  await rm(log, { force: true });
  const steps = lines.filter((line) => line !== '').map((line) => line.replace(/^\d+ /, ''));
  return { how: code ?? signal, stderr, steps };
}
