import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { TestContext } from 'node:test';

/** Debian puts mke2fs and losetup where the PATH of a plain user does not look. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`;

function run(program: string, args: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, PATH } });
}

/** Runs a short command and answers what it printed. Throws with its words when it fails. */
export function runCommand(program: string, ...args: readonly string[]): string {
  const { status, error, stdout, stderr } = run(program, args);
  if (status === 0) return stdout.trim();
  const why = error ? error.message : stderr.trim();
  throw new Error(`${[program, ...args].join(' ')}: ${why}`, { cause: error });
}

function missing(packages: Readonly<Record<string, string>>, devices: readonly string[]): string[] {
  const programs = Object.keys(packages).filter(
    (program) => run('sh', ['-c', `command -v ${program}`]).status !== 0,
  );
  const needed = programs.length > 0 ? [programs.map((name) => packages[name]).join(' ')] : [];
  return [
    ...needed.map((names) => `${programs.join(', ')}: apt-get install ${names}`),
    ...(process.getuid?.() === 0 ? [] : ['root, to mount file systems']),
    ...devices.filter((device) => !existsSync(device)),
  ];
}

/**
 * Whether a rig can run: root, devices, and programs with the Debian packages that bring them. When
 * not: skips `t`, or throws with HOLDFAST_REQUIRE_PEERS=1.
 */
export function canRun(
  t: TestContext,
  packages: Readonly<Record<string, string>>,
  devices: readonly string[],
): boolean {
  const needs = missing({ mke2fs: 'e2fsprogs', mount: 'mount', ...packages }, [
    '/dev/loop-control',
    ...devices,
  ]);
  if (needs.length === 0) return true;
  const reason = `needs ${needs.join('; ')}`;
  if (process.env['HOLDFAST_REQUIRE_PEERS'] === '1') throw new Error(reason);
  t.skip(reason);
  return false;
}

/** How many rounds, from the environment. */
export function countFrom(variable: string, usual: number): number {
  const count = Number(process.env[variable] ?? usual);
  if (Number.isInteger(count) && count > 0) return count;
  throw new Error(`${variable} has to be a whole number above 0`);
}
