import assert from 'node:assert/strict';
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { afterTest } from '../support/after-test.ts';
import { ROOT } from '../support/repository.ts';
import { until } from '../support/until.ts';

/** A clone with the real scripts, the compiler and small sources; npm has just installed it. */
class Clone {
  readonly folder = mkdtempSync(join(tmpdir(), 'holdfast-clone-'));

  constructor(t: TestContext) {
    afterTest(t, () => rmSync(this.folder, { recursive: true, force: true }));
    for (const name of [
      '.gitignore',
      'biome.json',
      'package.json',
      'tsconfig.json',
      'scripts/bootstrap.mjs',
      'scripts/bootstrap',
    ])
      cpSync(join(ROOT, name), this.path(name), { recursive: true });
    // A link to each package and not to the folder: nothing done here can reach the real one.
    for (const name of ['@biomejs', 'typescript', '@typescript', '@types', 'undici-types']) {
      mkdirSync(this.path('node_modules'), { recursive: true });
      symlinkSync(join(ROOT, 'node_modules', name), this.path(`node_modules/${name}`));
    }
    this.write('package-lock.json', '{ "packages": {} }');
    this.write('node_modules/.package-lock.json', '{ "packages": {} }');
    this.write('hub/main.ts', HUB);
    this.write(
      'tests/hub/a.test.ts',
      "import { test } from 'node:test';\ntest('a runs', () => {});\n",
    );
    this.write(
      'tests/hub/b.test.ts',
      "import { test } from 'node:test';\ntest('b runs', () => {});\n",
    );
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text);
  }

  start(...args: readonly string[]): ChildProcessWithoutNullStreams {
    // Without it a test runner in the clone would report to the one that runs this test.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    return spawn(process.execPath, [this.path('scripts/bootstrap.mjs'), ...args], {
      env: { ...env, npm_config_offline: 'true' }, // no test asks a registry
    });
  }

  async run(...args: readonly string[]): Promise<{ exitCode: unknown; out: string; err: string }> {
    const child = this.start(...args);
    let [out, err] = ['', ''];
    child.stdout.on('data', (data) => {
      out += data;
    });
    child.stderr.on('data', (data) => {
      err += data;
    });
    const [exitCode] = await once(child, 'close');
    return { exitCode, out, err };
  }
}

/** Counts SIGINTs, as the real one does, and ends with a code of its own. */
const HUB = `let interrupts = 0;
process.on('SIGINT', () => {
  interrupts += 1;
  console.log('interrupts ' + interrupts);
});
process.on('SIGTERM', () => process.exit(7));
console.log('hub ' + process.argv.slice(2).join(' '));
setInterval(() => {}, 1000);
`;

test('builds once; with nothing changed it says and does nothing', async (t) => {
  const clone = new Clone(t);
  const first = await clone.run('build');
  assert.match(first.err, /^holdfast: compiling \(tsc\) \.\.\. \d+\.\d s\n$/);
  assert.equal(first.exitCode, 0);
  assert.deepEqual(await clone.run('build'), { exitCode: 0, out: '', err: '' });
});

test('builds again after an edit, and after outputs were deleted', async (t) => {
  const clone = new Clone(t);
  await clone.run('build');
  clone.write('hub/extra.ts', 'export const a = 1;\n');
  assert.match((await clone.run('build')).err, /compiling/);
  rmSync(clone.path('dist/hub/main.js'));
  assert.match((await clone.run('build')).err, /compiling/);
  assert.ok(existsSync(clone.path('dist/hub/main.js')));
});

test('the tests of a deleted file are not run any more', async (t) => {
  const clone = new Clone(t);
  assert.match((await clone.run('test')).out, /b runs/);
  rmSync(clone.path('tests/hub/b.test.ts'));
  const { exitCode, out } = await clone.run('test');
  assert.equal(exitCode, 0);
  assert.match(out, /a runs/);
  assert.doesNotMatch(out, /b runs/);
  assert.ok(!existsSync(clone.path('dist/tests/hub/b.test.js')));
});

test('arguments select test files; one that selects nothing is an error', async (t) => {
  const clone = new Clone(t);
  const { out } = await clone.run('test', 'tests/hub/b.test.ts');
  assert.match(out, /b runs/);
  assert.doesNotMatch(out, /a runs/);
  assert.match((await clone.run('test', 'tests/hub')).out, /a runs[\s\S]*b runs/);
  const wrong = await clone.run('test', 'tests/hub/c.test.ts');
  assert.equal(wrong.exitCode, 1);
  assert.match(wrong.err, /no test file at `tests\/hub\/c\.test\.ts`/);
});

test('a failing test is a failing command', async (t) => {
  const clone = new Clone(t);
  const text =
    "import { test } from 'node:test';\ntest('b', () => {\n  throw new Error('no');\n});\n";
  clone.write('tests/hub/b.test.ts', text);
  assert.equal((await clone.run('test')).exitCode, 1);
});

test('an error of the compiler is shown in its words, and every time again', async (t) => {
  const clone = new Clone(t);
  clone.write('hub/wrong.ts', "export const a: number = 'one';\n");
  for (let i = 0; i < 2; i++) {
    const { exitCode, err } = await clone.run('build');
    assert.notEqual(exitCode, 0);
    assert.match(err, /failed after[\s\S]*hub\/wrong\.ts\(1,14\): error TS2322/);
    assert.doesNotMatch(err, /\n\s+at /, 'no stack');
  }
});

test('of two at once one builds and the other waits for it', async (t) => {
  const clone = new Clone(t);
  const both = await Promise.all([clone.run('build'), clone.run('build')]);
  assert.deepEqual(
    both.map(({ exitCode }) => exitCode),
    [0, 0],
  );
  assert.equal(both.filter(({ err }) => err.includes('compiling')).length, 1);
});

test('a lock whose holder is gone is taken over, one whose holder lives is waited for', async (t) => {
  const clone = new Clone(t);
  clone.write('dist/.bootstrap-lock', '4194305 1'); // above the largest pid of Linux
  assert.equal((await clone.run('build')).exitCode, 0);
  const holder = clone.start('start');
  afterTest(t, () => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data'); // running, so it has a pid and a start time to name
  assert.ok(!existsSync(clone.path('dist/.bootstrap-lock')), 'not held while the hub runs');
  holder.kill('SIGTERM');
  await once(holder, 'close');
});

test('start hands over arguments and exit code, and each Ctrl-C once', async (t) => {
  const clone = new Clone(t);
  const child = clone.start('start', '--config', 'my.yaml');
  afterTest(t, () => child.kill('SIGKILL'));
  let out = '';
  child.stdout.on('data', (data) => {
    out += data;
  });
  await until('the hub runs', () => out.includes('hub run --config my.yaml'));
  child.kill('SIGINT'); // the terminal's, and npm's copy of it
  child.kill('SIGINT');
  await until('the hub is interrupted', () => out.includes('interrupts 1'));
  child.kill('SIGTERM');
  const [exitCode] = await once(child, 'close');
  assert.equal(exitCode, 7);
  assert.doesNotMatch(out, /interrupts 2/);
});

test('packages are installed when the lockfile asks for others than there are', async (t) => {
  const clone = new Clone(t);
  await clone.run('build');
  const lockfile = '{ "packages": { "node_modules/a": { "version": "1.0.0" } } }';
  clone.write('package-lock.json', lockfile);
  clone.write('node_modules/.package-lock.json', lockfile); // as after `npm install a`
  assert.doesNotMatch((await clone.run('build')).err, /npm ci/, 'all that is asked for is there');
  clone.write('package-lock.json', lockfile.replace('1.0.0', '1.0.1'));
  const { err, exitCode } = await clone.run('build');
  assert.match(err, /installing packages \(npm ci\) \.\.\. /);
  assert.notEqual(exitCode, 0, 'a lockfile that is not of this package.json');
});

test('fix formats code and breaks comments, and check then finds nothing to format', async (t) => {
  const clone = new Clone(t);
  const words = 'word '.repeat(30).trim();
  clone.write('hub/a.ts', `/** ${words} */\nexport const a = "1"\n\n// ${words}\n// end\n`);
  assert.equal((await clone.run('fix')).exitCode, 0);
  const lines = readFileSync(clone.path('hub/a.ts'), 'utf8').trimEnd().split('\n');
  const nineteen = 'word '.repeat(19).trim();
  const eleven = 'word '.repeat(11).trim();
  assert.deepEqual(lines, [
    '/**',
    ` * ${nineteen}`,
    ` * ${eleven}`,
    ' */',
    "export const a = '1';",
    '',
    `// ${nineteen}`,
    `// ${eleven} end`,
  ]);
  const { out } = await clone.run('check');
  assert.match(out, /Checked \d+ files in [^\n]*No fixes applied/);
});

test('an unknown command is an error of usage that names the known ones', async (t) => {
  const { exitCode, err } = await new Clone(t).run('strat');
  assert.equal(exitCode, 64);
  assert.match(err, /unknown command `strat`; there are: start, test/);
});
