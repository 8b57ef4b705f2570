// The real process under libfaketime: its wall clock begins 30 days in the past and is put right
// while it runs, as a time server does it; only the programs that tell of it are fakes.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import mqtt from 'mqtt';
import { eventually, type HubProcess, holdfast, hubYaml } from '../support/hub-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const DAY_MS = 86_400_000;

/** What `faketime` preloads; undefined when it is missing: then the test is skipped, or fails. */
function libraryOf(t: TestContext): string | undefined {
  const args = ['-m', '2026-01-01', 'printenv', 'LD_PRELOAD'];
  const { stdout } = spawnSync('faketime', args, { encoding: 'utf8' });
  const library = stdout?.trim();
  if (library) return library;
  const text = 'needs libfaketime: apt-get install faketime';
  if (process.env['HOLDFAST_REQUIRE_PEERS'] === '1') assert.fail(text);
  t.skip(text);
  return undefined;
}

interface Delivered {
  readonly time: string;
  readonly timequality: string;
  readonly data: number;
}

/** A machine whose wall clock and time daemon are files. */
class Machine {
  readonly #t: TestContext;
  readonly #folder: string;
  readonly #library: string;

  constructor(t: TestContext, folder: string, library: string) {
    this.#t = t;
    this.#folder = folder;
    this.#library = library;
  }

  /** The wall clock is off by this, and chrony and the kernel say whether they know the time. */
  async set(offset: string, synced: boolean): Promise<void> {
    const bin = join(this.#folder, 'bin');
    await mkdir(bin, { recursive: true });
    // a time server sets the clock first, and says so afterwards
    await writeFile(join(this.#folder, 'offset'), `${offset}\n`);
    const leap = synced ? 'Normal' : 'Not synchronised';
    const tracking = `C0A80101,192.168.1.1,3,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,64.0,${leap}`;
    const programs = { chronyc: tracking, timedatectl: synced ? 'yes' : 'no' };
    for (const [name, text] of Object.entries(programs)) {
      const next = join(this.#folder, name);
      await writeFile(next, `#!/bin/sh\necho '${text}'\n`);
      await chmod(next, 0o755);
      await rename(next, join(bin, name)); // never half a program
    }
  }

  async start(): Promise<HubProcess> {
    const file = join(this.#folder, 'holdfast.yaml');
    const clock = 'clock: { wait_for_sync_max: 1 h }';
    const sink = '{ id: files, type: file, path: out, batch: { linger_ms: 0 } }';
    await writeFile(file, hubYaml([sink], [clock]));
    const hub = holdfast(this.#t, ['run', '--config', file], {
      PATH: `${join(this.#folder, 'bin')}:${process.env['PATH'] ?? ''}`,
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: join(this.#folder, 'offset'),
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1', // what 0.9.8 and earlier call it
      FAKETIME_NO_CACHE: '1',
      NO_FAKE_STAT: '1',
    });
    await hub.ready();
    return hub;
  }

  async delivered(): Promise<Delivered[]> {
    const out = join(this.#folder, 'data', 'out');
    const names = await readdir(out).catch(() => []);
    const texts = await Promise.all(names.map((name) => readFile(join(out, name), 'utf8')));
    const lines = texts.join('').split('\n');
    return lines.filter((line) => line !== '').map((line): Delivered => JSON.parse(line));
  }
}

/** Events whose payload is the true time. */
async function publish(hub: HubProcess, count: number): Promise<void> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${hub.mqttPort}`);
  for (let event = 0; event < count; event++) {
    await client.publishAsync('site/a/dev/temp', String(Date.now()), { qos: 1 });
  }
  await client.endAsync();
}

function assertRight(delivered: readonly Delivered[], qualities: Record<string, number>): void {
  const counts: Record<string, number> = {};
  for (const { time, timequality, data } of delivered) {
    counts[timequality] = (counts[timequality] ?? 0) + 1;
    const offMs = Date.parse(time) - data;
    assert.ok(Math.abs(offMs) <= 1_000, `${timequality}: off by ${offMs} ms`);
  }
  assert.deepEqual(counts, qualities);
}

test('the process starts in the past, is put right, and all its events have the right time', async (t) => {
  const library = libraryOf(t);
  if (!library) return;
  const machine = new Machine(t, await temporaryFolder(t), library);
  await machine.set('-30d', false);
  const first = await machine.start();
  await publish(first, 20);
  await eventually('the sink waits', async () => {
    return (await first.sink('files')).detail === 'waits for the clock';
  });
  const before = await first.status();
  assert.ok(
    Math.abs(before.hub.startedMs - (Date.now() - 30 * DAY_MS)) < 60_000,
    'it is in the past',
  );
  assert.deepEqual(await machine.delivered(), []);
  await machine.set('+0s', true);
  await eventually('all sent', async () => (await machine.delivered()).length === 20);
  await publish(first, 5);
  await eventually('all sent', async () => (await machine.delivered()).length === 25);
  assertRight(await machine.delivered(), { corrected: 20, synced: 5 });
  const { clock, hub } = await first.status();
  assert.deepEqual([clock.state, clock.source, hub.problems], ['synced', 'chrony', []]);
  assert.ok(Math.abs(clock.offsetMs - 30 * DAY_MS) < 1_000, `${clock.offsetMs} ms`);
  assert.match(first.stdout, /the clock is synchronised: earlier times are corrected/);
  await first.kill('SIGTERM');
  // a restart in the same boot, and somebody has set the clock wrong: the log knows better
  await machine.set('-3000d', false);
  const second = await machine.start();
  await publish(second, 5);
  await eventually('all sent', async () => (await machine.delivered()).length === 30);
  assertRight(await machine.delivered(), { corrected: 25, synced: 5 });
  await second.kill('SIGTERM');
});
