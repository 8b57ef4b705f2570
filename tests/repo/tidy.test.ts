import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planted, type Repository, readRepository } from '../support/repository.ts';
import { assertNone } from './assert-none.ts';
import { changelogProblems, dependencyProblems, kindProblems } from './shape-problems.ts';
import { TIDY_RULES } from './tidy-rules.ts';

const repository = readRepository();

function problemsOf(ruleName: string, files: Repository): string[] {
  const rule = TIDY_RULES.find((one) => one.name === ruleName) ?? assert.fail(ruleName);
  return [...files].flatMap(([path, text]) =>
    rule.appliesTo(path)
      ? rule.problems(path, text).map(({ line, what }) => `${path}:${line} ${what}`)
      : [],
  );
}

for (const { name } of TIDY_RULES)
  test(`tidy: ${name}`, () => {
    assertNone(problemsOf(name, repository));
  });

/** Rule, file, content that must be found, and content beside it that must not. */
const PLANTED: readonly (readonly [rule: string, path: string, bad: string, good: string])[] = [
  ['line length', 'hub/x.ts', `// ${'x'.repeat(98)}`, `// ${'ä'.repeat(97)}`],
  [
    'line length',
    'hub/x.ts',
    `const a = ${'b + '.repeat(25)}c;`,
    `const a = '${'b'.repeat(100)}';`,
  ],
  ['file size', 'hub/x.ts', 'a;\n'.repeat(501), 'a;\n'.repeat(500)],
  ['unfinished work', 'README.md', 'TODO: later', 'All done.'],
  ['unfinished work', 'hub/x.c', '// FIXME', '// fixed'],
  ['machine paths', 'docs/x.md', `cd /${'work'}/main`, 'cd /etc/holdfast'],
  ['machine paths', 'hub/x.ts', "const a = '/home/pi/x';", "import '../work/x.ts';"],
  ['registry hosts', 'package-lock.json', `"https://registry.${'npmjs'}.org/a"`, '"sha512-a"'],
  ['narrowed tests', 'tests/a/x.test.ts', "test.only('a', f);", "test('a', f);"],
  ['narrowed tests', 'tests/a/x.test.ts', "test('a', { todo: true }, f);", 'const todo = 1;'],
  [
    'causes of errors',
    'hub/x.ts',
    "try { a(); } catch (e) { if (b) { c(); } throw new HubError('A', `b`); }",
    "try { a(); } catch (cause) { throw new HubError('A', 'b', { cause }); } throw new Error('c');",
  ],
];

for (const [rule, path, bad, good] of PLANTED)
  test(`tidy: ${rule} is found in ${path}: ${bad.slice(0, 30)}`, () => {
    assert.equal(problemsOf(rule, new Map([[path, bad]])).length, 1);
    assert.deepEqual(problemsOf(rule, new Map([[path, good]])), []);
  });

test('tidy: names that say nothing, and tests that would never run, are found', () => {
  for (const path of ['hub/utils.ts', 'hub/core/time-helper.ts', 'hub/manager/x.ts', 'a/common.md'])
    assert.equal(problemsOf('file names', new Map([[path, '']])).length, 1, path);
  assert.deepEqual(problemsOf('file names', new Map([['hub/core/utilisation.ts', '']])), []);
  for (const path of ['tests/x.test.ts', 'hub/core/x.test.ts', 'tests/a/b/x.test.ts'])
    assert.equal(problemsOf('depth of tests', new Map([[path, '']])).length, 1, path);
});

test('every sink and every bridge is whole: spec, README, registry, contract test', () => {
  assertNone(kindProblems(repository));
});

test('a sink without its parts is found, part by part', () => {
  const bare = planted(new Map(), 'sinks/fax/sink.ts', '');
  assert.deepEqual(kindProblems(bare), [
    'sinks/fax has no spec.ts',
    'sinks/fax has no README.md',
    'sinks/fax is not in the registry',
    'no test in tests/sinks calls ../contract/sink.ts for sinks/fax',
  ]);
  const whole = new Map([
    ['sinks/fax/spec.ts', ''],
    ['sinks/fax/README.md', ''],
    ['sinks/registry.ts', "import { fax } from './fax/spec.ts';"],
    ['tests/sinks/fax.test.ts', "from '../../sinks/fax/spec.ts'; from '../contract/sink.ts'"],
  ]);
  assert.deepEqual(kindProblems(whole), []);
});

test('every dependency is explained', () => {
  const manifest = JSON.parse(repository.get('package.json') ?? '{}');
  assertNone(dependencyProblems(manifest, repository.get('docs/dependencies.md') ?? ''));
});

test('an unexplained dependency, an empty reason and a leftover line are found', () => {
  const manifest = { dependencies: { a: '1', b: '1' }, devDependencies: { '@c/d': '1' } };
  const document = '| `a` | why |\n| `b` |  |\n| `@c/d` | why |\n| `gone` | why |';
  assert.deepEqual(dependencyProblems(manifest, document), [
    'docs/dependencies.md does not say why `b` is needed',
    'docs/dependencies.md explains `gone`, which is not in package.json',
  ]);
});

test('CHANGELOG.md keeps the shape of Keep a Changelog', () => {
  assertNone(changelogProblems(repository.get('CHANGELOG.md') ?? ''));
});

test('a changelog of another shape is found', () => {
  const good = '# Changelog\n\n## [Unreleased]\n\n### Added\n\n- a\n\n## [1.0.0] - 2026-01-31\n';
  assert.deepEqual(changelogProblems(good), []);
  for (const bad of [
    good.replace('# Changelog', '# Changes'),
    good.replace('[Unreleased]', '[0.1.0] - 2026-01-01'),
    good.replace(' - 2026-01-31', ''),
    good.replace('[1.0.0]', 'v1.0.0'),
    good.replace('### Added', '### New'),
  ])
    assert.equal(changelogProblems(bad).length, 1, bad);
});
