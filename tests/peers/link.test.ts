/**
 * Goal: over a long way that loses packets a drain is limited by the bandwidth, not by round trips.
 * Method: the bench `link` in a network namespace of its own, with 300 ms round trip and 1 % loss
 * made by `shaped-wire.c`; a plain transfer over as many connections, in the same run, says what
 * the link can do.
 */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import type { LinkReport } from '../../bench/link.ts';
import { ROOT } from '../support/repository.ts';

/**
 * Of what the plain transfer carries: with the first seconds, in which it is found out how many
 * requests the way can take, and on a machine that does other things, too. One request at a time
 * carries a sixth.
 */
const SHARE_MIN = 0.45;
const SECONDS = 15;

function missing(): string | undefined {
  if (spawnSync('cc', ['--version']).error) return 'needs a C compiler: apt-get install gcc';
  if (!existsSync('/dev/net/tun')) return 'needs /dev/net/tun: modprobe tun';
  if (spawnSync('unshare', ['-Urn', 'true']).status !== 0)
    return 'needs network namespaces: apt-get install util-linux';
  return undefined;
}

function canRun(t: TestContext): boolean {
  const what = missing();
  if (what === undefined) return true;
  assert.notEqual(process.env['HOLDFAST_REQUIRE_PEERS'], '1', what);
  t.skip(what);
  return false;
}

test('300 ms round trip, 1 % loss, 4 Mbit/s: the bandwidth is the limit', async (t) => {
  if (!canRun(t)) return;
  const bench = join(ROOT, 'dist', 'bench', 'run.js');
  const args = ['--only', 'link', '--json', '--megabits', 4, '--seconds', SECONDS];
  const { stdout } = await promisify(execFile)(process.execPath, [bench, ...args.map(String)]);
  const { link }: { readonly link: LinkReport } = JSON.parse(stdout);
  const [run] = link.runs;
  assert.ok(run);
  const { bulkBytesPerSecond, drainBytesPerSecond, drainEventsPerSecond } = run;
  const share = drainBytesPerSecond / bulkBytesPerSecond;
  t.diagnostic(
    `${Math.round(drainEventsPerSecond)} events/s, ${Math.round(drainBytesPerSecond)} bytes/s, ` +
      `${share.toFixed(2)} of a plain transfer over ${link.connections} connections`,
  );
  assert.ok(share >= SHARE_MIN, `${share.toFixed(2)} of what the link can do`);
});
