/**
 * Goal: a fault at any step of what the log does to its files costs nothing that was acknowledged.
 * Method: a scenario runs on a copy of a real data directory; at its k-th system call that changes
 * a file the process dies, or half of a write is done, or the call fails (every-step.c). Then the
 * folder is opened as it is and looked at. Each scenario with each fault at some steps, as many as
 * a minute allows; at all of them with HOLDFAST_EVERY_STEP=all, at those of one scenario, fault
 * and number with HOLDFAST_STEP='trim/kill/12', of which the last parts may be left out.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { afterTest } from '../support/after-test.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';
import { checkStep, seenIn } from './every-step-check.ts';
import { DAMAGES } from './every-step-damage.ts';
import { checkReplay } from './every-step-replay.ts';
import {
  buildSteps,
  type Ended,
  FAULTS,
  type Fault,
  FIRST_NUMBER,
  Promised,
  runScenario,
  stepsFor,
} from './every-step-run.ts';
import { checkThin } from './every-step-thin.ts';

const ALL = process.env['HOLDFAST_EVERY_STEP'] === 'all';
const SAMPLED_MS = 60_000;
/** Two processes at a time: they mostly wait for the disk. */
const WORKERS = 2;
/** Runs of one scenario differ by a few steps: timers. */
const MORE_STEPS = 2;
/** How a child ends: done, or it could not open its log. */
const GOOD_ENDS: readonly unknown[] = [0, 3];
const SHOWN_FAILURES_MAX = 20;
const MEMORY_FOLDER = '/dev/shm';

/** The folder that a scenario begins with, and what was promised there. */
interface Beginning {
  readonly from: string;
  readonly promised: Promised;
}

interface Scenario extends Beginning {
  readonly name: string;
  readonly run: string;
  /** Answers what does not hold afterwards. */
  check(folder: string, promised: Promised): Promise<string[]>;
}

interface Step {
  readonly scenario: Scenario;
  readonly fault: Fault;
  readonly at: number;
}

class Rig {
  readonly folder: string;
  readonly library: string;
  #copies = 0;

  constructor(folder: string) {
    this.folder = folder;
    this.library = join(folder, 'steps.so');
    buildSteps(this.library);
  }

  /** A copy of `from` for `use`. */
  async withCopy<T>(from: string, use: (copy: string) => Promise<T>): Promise<T> {
    const copy = join(this.folder, `copy-${this.#copies++}`, 'data');
    try {
      await cp(from, copy, { recursive: true });
      return await use(copy);
    } finally {
      await rm(join(copy, '..'), { recursive: true, force: true });
    }
  }

  async scenarios(): Promise<Scenario[]> {
    const empty = join(this.folder, 'empty');
    await mkdir(empty);
    const check = (folder: string, promised: Promised) => checkStep(folder, promised);
    const create = { name: 'create', run: 'create', from: empty, promised: new Promised(), check };
    const prepared = await this.#prepared('prepare');
    const whole = ['commit', 'trim'].map((name) => ({ name, run: name, check, ...prepared }));
    const thin: Scenario = {
      ...{ name: 'thin', run: 'thin', ...(await this.#prepared('prepare-thin')) },
      check: (folder, { tails }) => checkThin(folder, tails.get('normal') ?? 0),
    };
    const replay: Scenario = {
      ...{ name: 'replay', run: 'replay', ...(await this.#prepared('prepare-replay')) },
      check: (folder, { replays, replayed }) => checkReplay(folder, replays, replayed),
    };
    return [create, ...whole, ...(await this.#repairs(prepared)), thin, replay];
  }

  async #prepared(scenario: string): Promise<Beginning> {
    const from = join(this.folder, scenario);
    await mkdir(from);
    const promised = new Promised();
    const ended = await runScenario(this.library, { folder: from, scenario, first: 0 }, promised);
    assert.equal(ended.how, 0, ended.stderr);
    return { from, promised };
  }

  /** What is left must be what is left when nothing disturbs the repair. */
  async #repairs(prepared: Beginning): Promise<Scenario[]> {
    const scenarios: Scenario[] = [];
    for (const [what, damage] of Object.entries(DAMAGES)) {
      const from = join(this.folder, `damaged-${scenarios.length}`);
      await cp(prepared.from, from, { recursive: true });
      await damage(from);
      const reference = await this.withCopy(from, seenIn);
      const check = (folder: string, promised: Promised) => checkStep(folder, promised, reference);
      scenarios.push({ ...prepared, name: `repair, ${what}`, run: 'repair', from, check });
    }
    return scenarios;
  }

  /** Answers what is wrong, in words. */
  async run({ scenario, fault, at }: Step): Promise<string[]> {
    const { run, from } = scenario;
    return await this.withCopy(from, async (folder) => {
      const promised = scenario.promised.copy();
      const now = { folder, scenario: run, first: FIRST_NUMBER, fault, at };
      const ended = await runScenario(this.library, now, promised);
      const problems = [...endProblems(ended), ...(await scenario.check(folder, promised))];
      if (problems.length === 0) return [];
      const step = ended.steps[at - 1] ?? 'not reached';
      const output = ended.stderr.trim() === '' ? [] : [`it said: ${ended.stderr.slice(0, 2_000)}`];
      return [`${scenario.name}/${fault}/${at} (${step}):`, ...problems, ...output];
    });
  }
}

function endProblems({ how }: Ended): string[] {
  return how === 'SIGKILL' || GOOD_ENDS.includes(how) ? [] : [`it ended with ${how}`];
}

async function stepsOf(t: TestContext, rig: Rig, scenarios: readonly Scenario[]): Promise<Step[]> {
  const steps: Step[] = [];
  const counts: string[] = [];
  for (const scenario of scenarios) {
    const ended = await rig.withCopy(scenario.from, (folder) => {
      const run = { folder, scenario: scenario.run, first: FIRST_NUMBER };
      return runScenario(rig.library, run, new Promised());
    });
    assert.equal(ended.how, 0, `${scenario.name}: ${ended.stderr}`);
    counts.push(`${scenario.name}: ${ended.steps.length}`);
    for (const fault of Object.keys(FAULTS) as Fault[]) {
      const count = stepsFor(fault, ended.steps) + MORE_STEPS;
      for (let at = 1; at <= count; at++) steps.push({ scenario, fault, at });
    }
  }
  t.diagnostic(`steps: ${counts.join(', ')}; with every fault ${steps.length}`);
  return steps;
}

/** In the order in which they are tried. */
function chosen(steps: readonly Step[], random: () => number): Step[] {
  const [name, fault, at] = (process.env['HOLDFAST_STEP'] ?? '').split('/');
  const matching = steps.filter(
    (step) =>
      (!name || step.scenario.name === name) &&
      (!fault || step.fault === fault) &&
      (!at || step.at === Number(at)),
  );
  return shuffled(matching, random);
}

/** Each pair of scenario and fault comes as often as any other. */
function shuffled(steps: readonly Step[], random: () => number): Step[] {
  const piles = new Map<string, Step[]>();
  for (const step of steps) {
    const pile = `${step.scenario.name} ${step.fault}`;
    piles.set(pile, [...(piles.get(pile) ?? []), step]);
  }
  const ranked = [...piles.values()].flatMap((pile) => {
    const order = pile.map((step) => ({ step, rank: random() })).sort((a, b) => a.rank - b.rank);
    return order.map(({ step }, turn) => ({ step, rank: turn + random() }));
  });
  return ranked.sort((a, b) => a.rank - b.rank).map(({ step }) => step);
}

/** In memory where that is possible: what a killed process has written is there all the same. */
function fastFolder(): string {
  return existsSync(MEMORY_FOLDER) ? MEMORY_FOLDER : tmpdir();
}

function hasTools(t: TestContext): boolean {
  if (spawnSync('gcc', ['--version']).error === undefined) return true;
  const text = 'needs gcc: apt-get install gcc libc6-dev';
  if (process.env['HOLDFAST_REQUIRE_PEERS'] === '1') assert.fail(text);
  t.skip(text);
  return false;
}

test('a fault at any step loses nothing', async (t) => {
  if (!hasTools(t)) return;
  const seed = chooseSeed();
  t.diagnostic(`seed ${seed}`);
  const folder = await mkdtemp(join(fastFolder(), 'holdfast-steps-'));
  afterTest(t, () => rm(folder, { recursive: true, force: true }));
  const rig = new Rig(folder);
  const steps = chosen(await stepsOf(t, rig, await rig.scenarios()), seededRandom(seed));
  const endMs = performance.now() + SAMPLED_MS;
  const failures: string[][] = [];
  let done = 0;
  const work = async () => {
    for (let step = steps.shift(); step; step = steps.shift()) {
      if (!ALL && performance.now() > endMs) return;
      const problems = await rig.run(step);
      if (problems.length > 0) failures.push(problems);
      done++;
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  t.diagnostic(`${done} steps tried, ${failures.length} failed`);
  assert.deepEqual(failures.slice(0, SHOWN_FAILURES_MAX).flat(), []);
});
