/**
 * What gathering decides, judged by what it leads to: the group commit in simulated time, with the
 * traffic of real devices. Commits a second are what the card pays, latencies what clients pay.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BRIEF_MS, Gathering, PROFILES } from '../../hub/log/commit/gathering.ts';
import {
  CommitSimulation,
  type SimulationResult,
  type Traffic,
} from '../support/commit-simulation.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';

const SECONDS = 40;
/** Mistakes are rare: it takes this long until their share is the same in each run. */
const RANDOM_SECONDS = 240;
const GATHERING = ['balanced', 'card'] as const;
/** A good disk and a worn card. */
const FSYNCS_MS = [2, 20] as const;

const seed = chooseSeed();
const random = seededRandom(seed);
/** HOLDFAST_SEED repeats what failed. */
const told = (value: number) => `${value}, seed ${seed}`;

function poisson(perSecond: number, seconds = SECONDS): Traffic {
  const timesMs: number[] = [];
  for (let at = 0; at < seconds * 1000; timesMs.push(at)) {
    at -= (Math.log(1 - random()) * 1000) / perSecond;
  }
  return { kind: 'open', timesMs };
}

function periodic(perSecond: number): Traffic {
  const phase = random();
  const timesMs = Array.from(
    { length: SECONDS * perSecond },
    (_, index) => ((index + phase) * 1000) / perSecond + random() / 2,
  );
  return { kind: 'open', timesMs };
}

/** Sends the next one 1 to 2 `thinkMs` after the answer. */
function closed(window: number, thinkMs = 1): Traffic {
  return { kind: 'closed', window, thinkMs: () => thinkMs * (1 + random()) };
}

const clients = (count: number, each: () => Traffic) => Array.from({ length: count }, each);

function simulate(
  profile: keyof typeof PROFILES,
  fsyncMs: number,
  traffic: readonly Traffic[],
  seconds = SECONDS,
): SimulationResult {
  const fsync = () => fsyncMs * (0.9 + random() / 3);
  return new CommitSimulation({ profile, traffic, seconds, fsyncMs: fsync }).run();
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
}

for (const profile of GATHERING) {
  const { waitMs } = PROFILES[profile];

  for (const [name, traffic] of [
    ['a client that waits for each answer', () => [closed(1)]],
    ['a client with a window of 20', () => [closed(20)]],
    ['a shell loop', () => [closed(1, 6)]],
    ['five clients that wait', () => clients(5, () => closed(1, 4))],
  ] as const) {
    test(`${profile}: ${name} is not slowed below 50 a second`, () => {
      const { latenciesMs } = simulate(profile, 2, traffic());
      for (const answers of latenciesMs)
        assert.ok(answers.length >= 50 * SECONDS, told(answers.length));
    });
  }

  test(`${profile}: a client that waits, beside a stream of 30 a second`, () => {
    const { latenciesMs } = simulate(profile, 2, [closed(1), poisson(30)]);
    const answers = latenciesMs[0]?.length ?? 0;
    assert.ok(answers >= 50 * SECONDS, told(answers / SECONDS));
  });

  for (const fsyncMs of FSYNCS_MS) {
    for (const perSecond of [1, 2, 5, 10, 20, 28, 33, 40, 50, 77, 100, 143, 200]) {
      test(`${profile}, fsync ${fsyncMs} ms: ${perSecond} Hz are gathered`, () => {
        const { commits, latenciesMs } = simulate(profile, fsyncMs, [periodic(perSecond)]);
        const bound = Math.min(perSecond, 1000 / waitMs, 1000 / (fsyncMs + BRIEF_MS));
        const filled = (perSecond * 120) / PROFILES[profile].fillBytes;
        // above the ideal for chance: mistakes happen, and are noticed
        assert.ok(commits / SECONDS <= Math.max(bound, filled) * 1.6, told(commits / SECONDS));
        assert.ok(quantile(latenciesMs.flat(), 1) <= waitMs + 2 * 1.3 * fsyncMs);
      });
    }

    for (const perSecond of [5, 20, 100, 500]) {
      test(`${profile}, fsync ${fsyncMs} ms: ${perSecond} a second at random are gathered`, () => {
        const traffic = [poisson(perSecond, RANDOM_SECONDS)];
        const { commits } = simulate(profile, fsyncMs, traffic, RANDOM_SECONDS);
        const filled = (perSecond * 120) / PROFILES[profile].fillBytes;
        const bound = Math.max(1000 / waitMs, filled);
        assert.ok(commits / RANDOM_SECONDS <= bound * 1.5, told(commits / RANDOM_SECONDS));
      });
    }
  }

  test(`${profile}: gathering comes back when the client that waits has gone`, () => {
    const gathering = new Gathering(profile);
    let nowMs = 0;
    for (let count = 0; count < 20; count++) {
      const group = gathering.opened(nowMs, true);
      gathering.joined(group, nowMs, 100, false);
      nowMs = gathering.dueMs(group);
      gathering.closed(group, nowMs, 1);
      gathering.acknowledged(nowMs);
      nowMs += 1;
    }
    const brief = gathering.opened(nowMs, true);
    assert.equal(gathering.dueMs(brief), nowMs + BRIEF_MS);
    gathering.closed(brief, nowMs + BRIEF_MS, 1);
    gathering.acknowledged(nowMs + BRIEF_MS);
    const later = gathering.opened(nowMs + 1_000, true);
    assert.equal(gathering.dueMs(later), nowMs + 1_000 + waitMs);
  });

  test(`${profile}: enough, or an urgent event, waits no longer`, () => {
    const { fillBytes, fillEvents } = PROFILES[profile];
    const gathering = new Gathering(profile);
    const filled = gathering.opened(0, true);
    gathering.joined(filled, 0, fillBytes - 1, false);
    assert.equal(gathering.dueMs(filled), waitMs);
    gathering.joined(filled, 1, fillBytes, false);
    assert.equal(gathering.dueMs(filled), BRIEF_MS);
    const many = gathering.opened(0, true);
    for (let count = 0; count < fillEvents; count++) gathering.joined(many, 0, count, false);
    assert.equal(gathering.dueMs(many), BRIEF_MS);
    const urgent = gathering.opened(0, true);
    gathering.joined(urgent, 0, 1, true);
    assert.equal(gathering.dueMs(urgent), BRIEF_MS);
  });
}

test('urgent groups prove nothing, and a probe that becomes urgent is made up for', () => {
  const gathering = new Gathering('balanced');
  let nowMs = 0;
  /** One group with an event at its beginning, answered at once. */
  const round = (urgent: boolean) => {
    const group = gathering.opened(nowMs, true);
    gathering.joined(group, nowMs, 100, urgent);
    nowMs = gathering.dueMs(group);
    gathering.closed(group, nowMs, 1);
    gathering.acknowledged(nowMs);
    nowMs += 1;
    return group.kind;
  };
  const kinds = (count: number, urgent: boolean) =>
    Array.from({ length: count }, () => round(urgent));
  assert.deepEqual(kinds(4, true), ['full', 'full', 'full', 'full']);
  assert.deepEqual(kinds(4, false), ['full', 'brief', 'brief', 'brief']);
  assert.deepEqual(kinds(2, true), ['probe', 'probe']);
  assert.deepEqual(kinds(2, false), ['probe', 'brief']);
});

test('balanced: 1,000 a second over 50 clients are answered within 60 ms, in 40 commits', () => {
  for (const fsyncMs of FSYNCS_MS) {
    const traffic = clients(50, () => periodic(20));
    const { commits, latenciesMs } = simulate('balanced', fsyncMs, traffic);
    assert.ok(commits / SECONDS <= 40, told(commits / SECONDS));
    const p99Ms = quantile(latenciesMs.flat(), 0.99);
    assert.ok(p99Ms <= 45 + 1.5 * fsyncMs, told(p99Ms));
  }
});

test('latency: nothing gathers, whatever comes', () => {
  const gathering = new Gathering('latency');
  for (const alone of [true, false]) {
    const group = gathering.opened(7, alone);
    gathering.joined(group, 7, 1, false);
    assert.equal(gathering.dueMs(group), 7);
  }
});
