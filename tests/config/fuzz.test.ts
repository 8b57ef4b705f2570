import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { generatedFiles } from '../../config/generate.ts';
import { parseConfig } from '../../config/load.ts';
import { ConfigError } from '../../config/problem.ts';

const SECRET = 'hunter2-battery-staple';

/**
 * Whatever is in a file, it is accepted or refused with problems that have a place; never a crash.
 */
function isJudged(text: string): void {
  try {
    parseConfig(text, { file: 'fuzz.yaml', baseDir: '/nowhere' }, { T: SECRET });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    assert.ok(error.problems.length > 0);
    const lines = text.split(/\r\n|\n|\r/).length;
    for (const { line, column } of error.problems) {
      assert.ok(Number.isInteger(line) && line >= 1 && line <= lines, `line ${line} of ${lines}`);
      assert.ok(Number.isInteger(column) && column >= 1);
    }
    assert.ok(!error.message.includes(SECRET), error.message);
  }
}

/** Words that mean something to the schema or to YAML, so that chance gets far. */
const WORDS = [
  ...['hub', 'mqtt', 'listeners', 'sinks', 'bridges', 'decode', 'log', 'http', 'lanes', 'alarm'],
  ...[
    'id',
    'type',
    'http',
    'file',
    'influx',
    'simulator',
    'json',
    'csv',
    'format',
    'fields',
    'topic',
  ],
  ...[
    'token',
    'headers',
    'password',
    'url',
    'path',
    'retry',
    'batch',
    'commit',
    'capacity',
    'time',
  ],
  ...['{device}', '#', '+', '${T}', '${X}', '${T', '$${', '${T:-a}', 'true', 'null', '~', '1e999'],
  ...[
    '.nan',
    '0x1F',
    '10 MiB',
    '5 s',
    '__proto__',
    'constructor',
    'toString',
    '<<',
    '\u0000',
    '🌊',
  ],
];
const TOKENS = [
  ': ',
  '\n',
  '\n  ',
  '\n    ',
  '- ',
  '{',
  '}',
  '[',
  ']',
  ', ',
  '"',
  "'",
  '|',
  '>',
  '&a ',
  '*a',
  '!',
  '!!set ',
  '? ',
  '#',
  ' #',
  '\t',
  '---\n',
  '...\n',
  '%',
  '@',
  '\\',
  '\uFEFF',
  '\r\n',
];

const value = fc.letrec((tie) => ({
  leaf: fc.oneof(
    fc.constantFrom(...WORDS),
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.string({ maxLength: 8 }),
  ),
  list: fc.array(tie('any'), { maxLength: 4 }),
  map: fc.dictionary(fc.constantFrom(...WORDS), tie('any'), { maxKeys: 5 }),
  any: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    tie('leaf'),
    tie('list'),
    tie('map'),
  ),
})).any;

describe('any text as a configuration', () => {
  it('is judged: words and signs of YAML in any order', () => {
    const part = fc.oneof(fc.constantFrom(...WORDS), fc.constantFrom(...TOKENS));
    fc.assert(
      fc.property(fc.array(part, { maxLength: 40 }), (parts) => isJudged(parts.join(''))),
      { numRuns: 1500 },
    );
  });

  it('is judged: any characters', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 100 }), isJudged), {
      numRuns: 500,
    });
  });

  it('is judged: any data', () => {
    fc.assert(
      fc.property(value, (data) => isJudged(stringify(data))),
      { numRuns: 1000 },
    );
  });

  it('is judged: the example with pieces cut out and put in', () => {
    const example = generatedFiles().get('config/holdfast.example.yaml') ?? '';
    const base = example.replaceAll(/^( *)# (?!#)/gm, '$1').replaceAll(/^ *##.*\n/gm, '');
    assert.ok(base.length > 1000);
    const at = fc.nat({ max: base.length });
    fc.assert(
      fc.property(
        at,
        fc.nat({ max: 30 }),
        fc.constantFrom(...WORDS, ...TOKENS),
        (from, length, text) => isJudged(base.slice(0, from) + text + base.slice(from + length)),
      ),
      { numRuns: 500 },
    );
  });
});
