import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planted, readRepository } from '../support/repository.ts';
import { assertNone } from './assert-none.ts';
import { importsOf } from './imports.ts';
import { layerProblems } from './layer-problems.ts';

const repository = readRepository();

test('no file imports across the layers', () => {
  assertNone(layerProblems(repository));
});

/** A file that must not pass, and what the message has to name. */
const VIOLATIONS: readonly (readonly [path: string, text: string, message: RegExp])[] = [
  ['hub/core/x.ts', "import { a } from '../log/log.ts';", /hub\/core may import nothing of ours/],
  ['hub/core/x.ts', "import type { A } from '../log/log.ts';", /hub\/core may import nothing/],
  [
    'hub/log/x.ts',
    "import { a } from '../forward/link.ts';",
    /x\.ts:1 imports \.\.\/forward\/link/,
  ],
  ['hub/intake/x.ts', "import { a } from '../log/log.ts';", /only types from there/],
  ['hub/forward/x.ts', "import { x } from '../../sinks/http/sink.ts';", /drives any sink/],
  ['hub/process/x.ts', "\nimport '../api/server.ts';", /x\.ts:2 imports/],
  ['hub/api/x.ts', "const a = await import('../log/log.ts');", /hub\/api may import/],
  ['sinks/http/x.ts', "import { a } from '../file/sink.ts';", /sinks\/\* may import/],
  ['sinks/http/x.ts', "import { schema } from '../../config/schema.ts';", /sinks\/\* may import/],
  ['firmware-bridge/a/x.ts', "import { a } from '../b/b.ts';", /firmware-bridge\/\* may/],
  ['config/x.ts', "import { a } from '../sinks/http/sink.ts';", /config may import/],
  ['console/src/x.ts', "import { a } from '../../hub/core/status.ts';", /only types from there/],
  ['console/src/x.tsx', "export { a } from '../../hub/api/a.ts';", /console may import/],
  ['grafana-dashboards/x.ts', "import { a } from '../hub/hub.ts';", /metrics-table/],
  ['bench/x.ts', "import { Hub } from '../hub/hub.ts';", /bench may import tests\/support/],
  ['hub/forward/x.ts', "import { Aedes } from 'aedes';", /only hub\/intake\/broker/],
  ['hub/api/x.ts', "import { Level } from 'level';", /only hub\/log/],
  ['hub/new/x.ts', 'export const a = 1;', /lies in no layer/],
];

for (const [path, text, message] of VIOLATIONS)
  test(`a violation is found: ${path} with ${text.trim()}`, () => {
    const problems = layerProblems(planted(new Map(), path, text));
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? '', message);
  });

test('what the table allows passes', () => {
  const allowed = [
    ['hub/log/x.ts', "import { a } from '../core/event.ts';\nimport { b } from './keys.ts';"],
    ['hub/intake/x.ts', "import type { EventLog } from '../log/log.ts';"],
    ['hub/intake/x.ts', "import { type A, type B } from '../log/log.ts';"],
    ['hub/intake/broker/x.ts', "import { Aedes } from 'aedes';"],
    ['sinks/http/x.ts', "import { a } from '../../config/fields.ts';\nimport { b } from './b.ts';"],
    ['sinks/registry.ts', "import { a } from './http/spec.ts';"],
    ['hub/hub.ts', "import { a } from '../sinks/http/sink.ts';"],
    ['console/src/x.ts', "import type { Status } from '../../hub/core/status.ts';"],
  ] as const;
  for (const [path, text] of allowed) assert.deepEqual(layerProblems(new Map([[path, text]])), []);
});

test('imports are found in every form, and not in comments', () => {
  const text = [
    "import a, { type B } from './a.ts';",
    "import {\n  c,\n  d,\n} from './c.ts';",
    "export * from './e.ts';",
    "// import f from './f.ts';",
    "/*\nimport g from './g.ts';\n*/",
    "const h = await import('./h.ts');",
    "let i: typeof import('./i.ts');",
    "import './j.ts';",
  ].join('\n');
  assert.deepEqual(
    importsOf(text).map(({ specifier, typeOnly }) => [specifier, typeOnly]),
    [
      ['./a.ts', false],
      ['./c.ts', false],
      ['./e.ts', false],
      ['./j.ts', false],
      ['./h.ts', false],
      ['./i.ts', true],
    ],
  );
});
