import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { afterTest } from '../support/after-test.ts';
import { ROOT } from '../support/repository.ts';

const MODULE = join(ROOT, 'dist', 'hub', 'end-process.js');
/** A process that does not end by itself is a failure of the test, not of the suite. */
const LIMITS = { timeout: 20_000, killSignal: 'SIGQUIT' } as const;

test('a process ends although the kernel does not return from a file', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-end-'));
  afterTest(t, () => rm(folder, { recursive: true }));
  // opening one waits for somebody who writes
  execFileSync('mkfifo', [join(folder, 'hangs'), join(folder, 'late')]);
  const endOf = (work: string, code: number) =>
    new Promise((resolve) => {
      const script = `
        import { readFile, writeFile } from 'node:fs/promises';
        import { endProcess } from ${JSON.stringify(MODULE)};
        process.on('SIGTERM', () => {});
        process.exitCode = ${code};
        ${work};
        setTimeout(endProcess, 100);`;
      const args = ['--input-type=module', '-e', script];
      const child = execFile(process.execPath, args, { ...LIMITS, cwd: folder }, () =>
        resolve(child.exitCode ?? child.signalCode),
      );
    });
  const hang = "readFile('hangs').catch(() => {})";
  const late = "readFile('late'); setTimeout(() => writeFile('late', ''), 200)";
  const ends = [endOf('', 0), endOf('', 69), endOf(late, 69), endOf(hang, 0), endOf(hang, 69)];
  assert.deepEqual(await Promise.all(ends), [0, 69, 69, 'SIGTERM', 'SIGKILL']);
});
