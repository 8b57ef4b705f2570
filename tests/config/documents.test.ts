import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { packageRoot } from '../../config/find-file.ts';
import { problemsOf } from './problems-of.ts';

/** What examples may take from the environment. */
const ENV = new Proxy<Record<string, string>>(
  {},
  {
    get: () => 'value-from-the-environment',
    has: () => true,
    getOwnPropertyDescriptor: () => ({
      value: 'x',
      configurable: true,
      enumerable: true,
      writable: true,
    }),
  },
);

const root = packageRoot();

function filesIn(folder: string, ends: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ends))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !file.includes('node_modules'));
}

/** The ```yaml blocks of a document that are whole configurations, with the line they begin at. */
function configurationsIn(text: string): { readonly line: number; readonly yaml: string }[] {
  return [...text.matchAll(/^```ya?ml\n([\s\S]*?)^```/gm)].flatMap((match) => {
    const yaml = match[1] ?? '';
    const line = text.slice(0, match.index).split('\n').length + 1;
    return /^(hub|sinks):/m.test(yaml) ? [{ line, yaml }] : [];
  });
}

describe('configurations in the repository', () => {
  const yamlFiles = filesIn('config', '.yaml');
  for (const file of yamlFiles)
    it(`${file.slice(root.length + 1)} loads`, () => {
      assert.deepEqual(problemsOf(readFileSync(file, 'utf8'), ENV), []);
    });

  it('there are some', () => assert.ok(yamlFiles.length >= 2));

  const documents = ['README.md', 'CONTRIBUTING.md']
    .map((name) => join(root, name))
    .filter((file) => existsSync(file));
  for (const folder of ['docs', 'sinks', 'firmware-bridge', 'deploy'])
    documents.push(...filesIn(folder, '.md'));
  for (const file of documents)
    for (const { line, yaml } of configurationsIn(readFileSync(file, 'utf8')))
      it(`${file.slice(root.length + 1)}:${line} loads`, () => {
        assert.deepEqual(problemsOf(yaml, ENV), []);
      });

  it('are found in documents', () => {
    const found = configurationsIn('# x\n```yaml\na: 1\n```\n\n```yaml\nhub:\n  id: a\n```\n');
    assert.deepEqual(found, [{ line: 7, yaml: 'hub:\n  id: a\n' }]);
  });
});
