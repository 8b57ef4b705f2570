import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { hubApi } from '../../console/src/api.ts';
import { type Connection, runLive } from '../../console/src/live.ts';
import type { LatestValue, Status } from '../../hub/core/status.ts';
import { afterTest } from '../support/after-test.ts';
import {
  type ConsoleFixture,
  type ConsoleFixtureOptions,
  startConsoleFixture,
} from '../support/console-fixture.ts';
import { until } from '../support/until.ts';

/** The page's data path without the page. */
function watch(t: TestContext, baseUrl: string, token?: string) {
  const seen = {
    connections: [] as Connection[],
    snapshots: 0,
    statuses: [] as Status[],
    readings: [] as LatestValue[],
    dateMs: 0,
  };
  const stop = new AbortController();
  const api = hubApi({
    baseUrl: `${baseUrl}api/v1/`,
    token: () => token,
    onDate: (dateMs) => {
      seen.dateMs = dateMs;
    },
  });
  const done = runLive(
    {
      api,
      hasToken: () => token !== undefined,
      onConnection: (connection) => seen.connections.push(connection),
      onHeard: () => {},
      onSnapshot: () => {
        seen.snapshots++;
      },
      onStatus: (status) => seen.statuses.push(status),
      onReadings: (values) => seen.readings.push(...values),
      wait: (delayMs) => delay(Math.min(delayMs, 50)),
    },
    stop.signal,
  );
  afterTest(t, async () => {
    stop.abort();
    await done;
  });
  return { seen, done, stop };
}

async function fixture(
  t: TestContext,
  options: Partial<ConsoleFixtureOptions> = {},
): Promise<ConsoleFixture> {
  const started = await startConsoleFixture({ dir: tmpdir(), ...options });
  afterTest(t, () => started.close());
  return started;
}

test('a snapshot, then everything that happens', async (t) => {
  const hub = await fixture(t);
  const { seen } = watch(t, hub.baseUrl);
  await until('live', () => seen.connections.at(-1)?.kind === 'live');
  assert.equal(seen.snapshots, 1);
  assert.ok(Math.abs(Date.now() - seen.dateMs) < 5_000);
  hub.publish('pump-2', 'pressure', 7.25);
  await until('reading', () => seen.readings.some(({ value }) => value === 7.25));
  await until('status', () => seen.statuses.length > 0);
});

test('a hub that goes and comes back', async (t) => {
  const hub = await fixture(t);
  const { seen } = watch(t, hub.baseUrl);
  await until('live', () => seen.connections.at(-1)?.kind === 'live');
  await hub.close();
  await until('lost', () => seen.connections.at(-1)?.kind === 'lost');
  await fixture(t, { port: hub.port });
  await until('live again', () => seen.connections.at(-1)?.kind === 'live');
  assert.equal(seen.snapshots, 2);
});

test('a token is asked for, refused and taken', async (t) => {
  const hub = await fixture(t, { token: 'right' });
  const without = watch(t, hub.baseUrl);
  await without.done;
  assert.deepEqual(without.seen.connections.at(-1), { kind: 'locked', refused: false });
  const wrong = watch(t, hub.baseUrl, 'wrong');
  await wrong.done;
  assert.deepEqual(wrong.seen.connections.at(-1), { kind: 'locked', refused: true });
  const right = watch(t, hub.baseUrl, 'right');
  await until('live', () => right.seen.connections.at(-1)?.kind === 'live');
});

test('stopping closes the stream', async (t) => {
  const hub = await fixture(t);
  const { seen, done, stop } = watch(t, hub.baseUrl);
  await until('live', () => seen.connections.at(-1)?.kind === 'live');
  assert.equal(hub.streams, 1);
  stop.abort();
  await done;
  await until('closed', () => hub.streams === 0);
});
