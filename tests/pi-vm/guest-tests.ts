import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import type { TestContext } from 'node:test';
import { Machine, QEMU } from './machine.ts';
import type { GuestReport } from './report.ts';

/** Some ten times what a run takes: an emulated machine on a busy one is slow. */
export const RUN_MS_MAX = 1_200_000;
const REPORTER = './dist/tests/pi-vm/guest/reporter.js';

function missing(): string[] {
  const programs = { [QEMU]: 'qemu-system-x86', 'apt-get': 'apt', 'dpkg-deb': 'dpkg' };
  const absent = Object.entries(programs).filter(
    ([program]) => spawnSync(program, ['--version']).status !== 0,
  );
  const packages = absent.map(([, name]) => name).join(' ');
  return [
    ...(process.platform === 'linux' && process.arch === 'x64' ? [] : ['Linux on x64']),
    ...(absent.length > 0
      ? [`${absent.map(([program]) => program).join(', ')}: apt-get install ${packages}`]
      : []),
  ];
}

/**
 * Whether the machine can run here. When not: skips `t`, or throws with HOLDFAST_REQUIRE_PEERS=1.
 */
function canRun(t: TestContext): boolean {
  const needs = missing();
  if (needs.length === 0) return true;
  const reason = `needs ${needs.join('; ')}`;
  if (process.env['HOLDFAST_REQUIRE_PEERS'] === '1') throw new Error(reason);
  t.skip(reason);
  return false;
}

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

async function tell(
  t: TestContext,
  report: Extract<GuestReport, { type: 'test' }>,
  machine: Machine,
): Promise<void> {
  await t.test(report.name, (inner) => {
    inner.diagnostic(`${seconds(report.durationMs)} in the guest`);
    if (report.skipped !== undefined) inner.skip(report.skipped);
    // its own stack: where it failed in the guest is what counts
    else if (!report.ok) assert.fail(`${report.problem}\n--- console ---\n${machine.tail}`);
  });
}

/**
 * Boots a machine, runs `dist/tests/pi-vm/guest/<file>.js` in it, and makes every test of that a
 * subtest of `t`. Fails when the guest ends without having said how its tests ended.
 */
export async function runGuestTests(t: TestContext, file: string): Promise<void> {
  if (!canRun(t)) return;
  const command = [
    'node --enable-source-maps --test-reporter=spec --test-reporter-destination=stdout',
    `--test-reporter=${REPORTER} --test-reporter-destination=/dev/ttyS1`,
    `dist/tests/pi-vm/guest/${file}.js`,
  ].join(' ');
  const machine = new Machine({ command, timeoutMs: RUN_MS_MAX });
  let code: number | undefined;
  let tests = 0;
  for await (const report of machine.run())
    if (report.type === 'exit') code = report.code;
    else if (report.type === 'note') t.diagnostic(report.text);
    else {
      tests += 1;
      await tell(t, report, machine);
    }
  const { fetchMs, packMs, runMs } = machine.timing;
  t.diagnostic(`fetched ${seconds(fetchMs)}, packed ${seconds(packMs)}, ran ${seconds(runMs)}`);
  const shown = `\n--- console ---\n${machine.tail}`;
  assert.notEqual(code, undefined, `the guest stopped before its tests had ended${shown}`);
  assert.ok(tests > 0, `the guest has run no test${shown}`);
}
