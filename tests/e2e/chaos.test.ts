/**
 * Goal: whatever far sides do, and however often the hub is killed meanwhile, the ledger is exact,
 * devices keep their order, everything acknowledged is delivered or a dead letter with its true
 * reason, and nothing comes twice but where an answer was lost or the hub was killed before it
 * could settle. Method: two far sides that do harm to half of the requests, one of them with gzip
 * and the other with `live_first`, and publishers on three lanes; then calm. HOLDFAST_CHAOS_S sets
 * how long the harm lasts; HOLDFAST_SEED repeats what was chosen.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { DeadLetterPage, Status } from '../../hub/core/status.ts';
import { SETTLED_WITHIN_MS } from '../support/chaos-book.ts';
import { type ChaosFarSide, chaosFarSide, MISCHIEFS } from '../support/chaos-far-side.ts';
import { freePort } from '../support/free-port.ts';
import { eventually, type HubProcess, hubYaml, runHub } from '../support/hub-process.ts';
import { assertLedger } from '../support/ledger.ts';
import { acknowledgedOf, type OraclePublisher, publishers } from '../support/oracle-publisher.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const CHAOS_MS = Number(process.env['HOLDFAST_CHAOS_S'] ?? 10) * 1_000;
/** In a long run the hub has the patience for an answer that comes after 10 s. */
const IS_LONG = CHAOS_MS >= 120_000;
const PATIENCE_MS = { gzip: 2_000, plain: IS_LONG ? 15_000 : 2_000 };
const MISCHIEF = 0.5;
/** The far sides are well again: whatever the hub waits for, it is not for longer than this. */
const STUCK_MS = 60_000;
const LOOK_EVERY_MS = 100;
/**
 * Where new events go ahead of a backlog the status does not tell which are settled. They are
 * settled together with those they were sent beside, some of which are tried again and again.
 */
const UNSETTLED_MS_MAX = 4 * PATIENCE_MS.plain;
const LIFE_MS_MIN = IS_LONG ? 5_000 : 1_500;
const LIFE_MS_MAX = IS_LONG ? 40_000 : 3_000;
const EVERY_MS = 10;
/** One message in so many is poison. */
const POISON_EVERY = 211;
/** Bytes of a message that do not compress: what is read slowly takes its time. */
const PADDING = 100;
const LANES = 'lanes: { alarm: ["site/a/alarm0/#"], bulk: ["site/a/bulk0/#", "site/a/bulk1/#"] }';

const SINKS = ['gzip', 'plain'] as const;
type Far = Readonly<Record<(typeof SINKS)[number], ChaosFarSide>>;

function sinkYaml(id: keyof Far, far: ChaosFarSide): string {
  const how = id === 'gzip' ? 'format: cloudevents' : 'format: ndjson, compression: none';
  const times = `timeout: ${PATIENCE_MS[id]} ms, retry: { delay_min: 20 ms, delay_max: 500 ms }`;
  const batch = 'batch: { events_max: 100, linger_ms: 20 }';
  const order = `order: ${id === 'gzip' ? 'oldest_first' : '{ live_first: { share: 0.3 } }'}`;
  return `{ id: ${id}, type: http, url: "${far.url}", ${how}, ${times}, ${batch}, ${order} }`;
}

const isPoison = (_topic: string, n: number) => n % POISON_EVERY === POISON_EVERY - 1;

function publishing(t: Parameters<typeof publishers>[0], port: number): OraclePublisher[] {
  const common = { port, window: 5, everyMs: EVERY_MS, padding: PADDING };
  return [
    ...publishers(t, 2, { ...common, name: 'once', qos: 1 }),
    ...publishers(t, 2, { ...common, name: 'twice', qos: 2 }),
    ...publishers(t, 2, { ...common, name: 'bulk', qos: 1 }),
    ...publishers(t, 1, { ...common, name: 'alarm', qos: 2, everyMs: 10 * EVERY_MS }),
  ];
}

/** What the hub says that it has settled, every now and then since its start. */
class SettledHistory {
  readonly #ended = new AbortController();
  readonly #entries: { readonly ms: number; readonly settled: ReadonlyMap<string, number> }[] = [];
  readonly #looking: Promise<void>;

  constructor(hub: HubProcess, sink: keyof Far) {
    this.#looking = this.#look(hub, sink);
  }

  /** What must have been written when the hub is killed at `beginMs`: the end of each lane. */
  async before(beginMs: number): Promise<ReadonlyMap<string, number>> {
    this.#ended.abort();
    await this.#looking;
    const written = (entry: { ms: number }) => entry.ms <= beginMs - SETTLED_WITHIN_MS;
    return (this.#entries.findLast(written) ?? this.#entries[0])?.settled ?? new Map();
  }

  /** Without a backlog that is left behind, what is settled is the beginning of a lane. */
  async #look(hub: HubProcess, id: keyof Far): Promise<void> {
    while (!this.#ended.signal.aborted) {
      const lanes = await hub.sink(id).then(
        (sink) => sink.lanes,
        () => [], // killed
      );
      const settled = new Map(lanes.map((lane) => [lane.lane, lane.settled]));
      if (lanes.length > 0) this.#entries.push({ ms: performance.now(), settled });
      await delay(LOOK_EVERY_MS);
    }
  }
}

const historiesOf = (hub: HubProcess) => ({
  gzip: new SettledHistory(hub, 'gzip'),
  plain: new SettledHistory(hub, 'plain'),
});

/** As long as there is progress; says what there was to do and how long it took. */
async function drained(hub: HubProcess): Promise<string> {
  const lags = async () => (await hub.status()).sinks.map(({ lagEvents }) => lagEvents);
  const begin = await lags();
  const startMs = performance.now();
  let [best, bestMs] = [Number.POSITIVE_INFINITY, startMs];
  for (;;) {
    const now = await lags();
    const left = now.reduce((sum, lag) => sum + lag, 0);
    const nowMs = performance.now();
    if (left === 0) return `${begin.join(' and ')} drained in ${Math.round(nowMs - startMs)} ms`;
    if (left < best) [best, bestMs] = [left, nowMs];
    const { sinks } = await hub.status();
    assert.ok(
      nowMs - bestMs < STUCK_MS,
      `stuck at ${now} of ${begin}: ${JSON.stringify(sinks.map(({ lanes: _, ...rest }) => rest))}`,
    );
    await delay(LOOK_EVERY_MS);
  }
}

async function deadLettersOf(hub: HubProcess, sink: string) {
  const letters: DeadLetterPage['letters'][number][] = [];
  let after = '';
  for (;;) {
    const path = `/api/v1/sinks/${sink}/dead-letters?order=oldest&limit=500${after}`;
    const answer = await hub.get(path);
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    const page: DeadLetterPage = JSON.parse(text);
    letters.push(...page.letters);
    if (page.next === null) return letters;
    after = `&after=${page.next}`;
  }
}

/** Every event that a sink should have, it has; the rest are its dead letters, and only those. */
async function assertSink(hub: HubProcess, status: Status, id: keyof Far, far: ChaosFarSide) {
  assert.deepEqual(far.book.problems, [], id);
  const sink = status.sinks.find((candidate) => candidate.id === id);
  assert.ok(sink);
  for (const { lane, delivered, deadLettered, settled, queued } of sink.lanes) {
    const [processed, nothing] = [far.book.count(lane), 0];
    const counted = { delivered, queued, settled };
    const exact = { delivered: processed, queued: nothing, settled: processed + deadLettered };
    assert.deepEqual(counted, exact, `${id}, ${lane}`);
  }
  const letters = await deadLettersOf(hub, id);
  const ids = letters.map(({ eventId }) => eventId);
  assert.deepEqual([...ids].sort(), [...far.poison].sort(), `${id}: what is poison, and only that`);
  for (const { eventId, reason, response } of letters) {
    const said = `${reason} ${response ?? ''}`;
    assert.ok(said.includes(`poison ${eventId}`), `${id}: ${eventId} is there for: ${said}`);
  }
}

function assertAllThere(all: readonly OraclePublisher[], id: string, far: ChaosFarSide): void {
  const poison = new Set<string>();
  for (const { topic, acknowledged } of all) {
    const missing = [...acknowledged].filter((n) => !isPoison(topic, n) && !far.has(topic, n));
    assert.deepEqual(missing, [], `${id} lacks acknowledged messages of ${topic}`);
    for (const n of acknowledged) if (isPoison(topic, n)) poison.add(`${topic} ${n}`);
  }
  assert.ok(far.poison.size >= poison.size, `${id}: every poison message was asked about`);
}

test('e2e: far sides in chaos, and a hub that is killed', {
  timeout: CHAOS_MS * 2 + 180_000,
}, async (t) => {
  const seed = chooseSeed();
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const harm = { mischief: MISCHIEF, isPoison };
  const far: Far = {
    gzip: await chaosFarSide(t, { ...harm, seed: 2 * seed, patienceMs: PATIENCE_MS.gzip }),
    plain: await chaosFarSide(t, { ...harm, seed: 2 * seed + 1, patienceMs: PATIENCE_MS.plain }),
  };
  const folder = await temporaryFolder(t);
  const port = await freePort();
  const sinks = [sinkYaml('gzip', far.gzip), sinkYaml('plain', far.plain)];
  const yaml = hubYaml(sinks, [`log: { ${LANES} }`], port);
  let hub = await runHub(t, folder, yaml);
  await hub.ready();
  const all = publishing(t, port);
  const endMs = performance.now() + CHAOS_MS;
  let histories = historiesOf(hub);
  let kills = 0;
  while (performance.now() < endMs) {
    await delay(LIFE_MS_MIN + random() * (LIFE_MS_MAX - LIFE_MS_MIN));
    const beginMs = performance.now();
    await hub.kill('SIGKILL');
    const kill = { beginMs, endMs: performance.now() };
    for (const id of SINKS) {
      const settled = await histories[id].before(beginMs);
      const isSettled = (lane: string, offset: number) =>
        id === 'gzip' || lane === 'alarm' ? offset < (settled.get(lane) ?? 0) : undefined;
      far[id].book.killed({ ...kill, isSettled, withinMs: UNSETTLED_MS_MAX });
    }
    kills++;
    hub = await runHub(t, folder, yaml);
    await hub.ready();
    histories = historiesOf(hub);
  }
  for (const id of SINKS) await histories[id].before(0);
  for (const publisher of all) publisher.finish();
  await eventually('the last acknowledgements', () => all.every(({ done }) => done));
  for (const side of Object.values(far)) side.mischief = 0;
  t.diagnostic(await drained(hub));
  const status = await hub.status();
  for (const [id, { done, book, poison }] of Object.entries(far)) {
    t.diagnostic(
      `${id}: ${book.count()} events, ${book.duplicates} again, ${poison.size} poison; ` +
        [...done].map(([what, count]) => `${what} ${count}`).join(', '),
    );
  }
  t.diagnostic(`${acknowledgedOf(all)} acknowledged, ${kills} kills`);
  assertLedger(status);
  for (const id of SINKS) {
    await assertSink(hub, status, id, far[id]);
    assertAllThere(all, id, far[id]);
    if (IS_LONG) assert.ok(MISCHIEFS.every((mischief) => far[id].done.has(mischief)));
  }
  assert.equal(await hub.kill('SIGTERM'), 0);
});
