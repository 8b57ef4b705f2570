import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../support/repository.ts';

/**
 * What Biome says, with our biome.json and package.json, of a folder that holds only `files`; their
 * paths decide which overrides hold. One line a finding: `file=hub/x.ts ...
 * lint/suspicious/noConsole`.
 */
function lint(files: Readonly<Record<string, string>>): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-lint-'));
  try {
    for (const name of ['biome.json', 'package.json', '.gitignore'])
      copyFileSync(join(ROOT, name), join(folder, name));
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    const biome = join(ROOT, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
    const args = [biome, 'lint', '--reporter=github', '--max-diagnostics=none'];
    const { stdout } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
    return stdout.split('\n').filter((line) => line.includes('lint/'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Biome counts the lines between the braces: 68 of them are a function of 70 lines. */
const longFunction = (lines: number) =>
  `export function f(a: number) {\n${'  a += 1;\n'.repeat(lines - 3)}  return a;\n}\n`;

/** Rules that we rely on, each with code that must not pass. */
const PLANTED: readonly (readonly [rule: string, path: string, text: string])[] = [
  ['noExcessiveLinesPerFunction', 'hub/core/x.ts', longFunction(71)],
  ['noExcessiveLinesPerFile', 'hub/core/x.ts', 'export {};\n'.repeat(501)],
  ['noDefaultExport', 'hub/core/x.ts', 'export default 1;\n'],
  ['noConsole', 'hub/core/x.ts', "console.log('a');\nexport {};\n"],
  ['noProcessEnv', 'hub/core/x.ts', "export const a = process.env['A'];\n"],
  ['noExplicitAny', 'hub/core/x.ts', 'export const a = (b: any) => b;\n'],
  ['noNonNullAssertion', 'hub/core/x.ts', 'export const a = (b?: string) => b!.length;\n'],
  ['useImportExtensions', 'hub/core/x.ts', "export * from './target';\n"],
  ['noUndeclaredDependencies', 'hub/core/x.ts', "import a from 'left-pad';\nexport const b = a;\n"],
  [
    'noUndeclaredDependencies',
    'hub/core/x.ts',
    "import a from 'fast-check';\nexport const b = a;\n",
  ],
  [
    'noFocusedTests',
    'tests/hub/x.test.ts',
    "import { test } from 'node:test';\ntest.only('a', () => {});\n",
  ],
  [
    'noFloatingPromises',
    'hub/core/x.ts',
    'async function f() {}\nexport function g() {\n  f();\n}\n',
  ],
];

test('lint: code that breaks a rule is found', async (t) => {
  const paths = PLANTED.map(([, path], index) => path.replace('/x', `/planted-${index}`));
  const texts = PLANTED.map(([, , text]) => text);
  const files = paths.map((path, index) => [path, texts[index] ?? ''] as const);
  const target = ['hub/core/target.ts', 'export const a = 1;\n'] as const;
  const findings = lint(Object.fromEntries([...files, target]));
  for (const [index, [rule]] of PLANTED.entries())
    await t.test(rule, () => {
      const own = findings.filter((line) => line.includes(`${paths[index]},`));
      assert.ok(
        own.some((line) => new RegExp(`lint/\\w+/${rule}\\b`).test(line)),
        own.join('\n') || 'nothing was found',
      );
    });
});

test('lint: what is within the rules passes', () => {
  const files = {
    'hub/core/a.ts': longFunction(70),
    'tests/hub/a.test.ts': "import fc from 'fast-check';\n\nexport const b = fc;\n",
    'hub/main.ts': "console.log('a');\nexport {};\n",
  };
  assert.deepEqual(lint(files), []);
});
