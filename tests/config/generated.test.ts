import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { z } from 'zod';
import {
  isSchema,
  itemShapes,
  type JsonSchema,
  propertiesOf,
  writtenSchema,
} from '../../config/documents/json-schema.ts';
import { packageRoot } from '../../config/find-file.ts';
import { generatedFiles } from '../../config/generate.ts';
import { schema } from '../../config/schema.ts';
import { BRIDGES } from '../../firmware-bridge/registry.ts';
import { SINKS } from '../../sinks/registry.ts';
import { parsed, problemsOf } from './problems-of.ts';

const content = (path: string): string => generatedFiles().get(path) ?? assert.fail(path);

/** Every key of the schema with its path. */
function* keysOf(node: JsonSchema, path: string): Generator<readonly [string, JsonSchema]> {
  for (const [key, child] of propertiesOf(node)) {
    yield [`${path}${key}`, child];
    yield* keysOf(child, `${path}${key}.`);
    for (const shape of itemShapes(child)) yield* keysOf(shape, `${path}${key}[].`);
  }
}

describe('what is made from the schema', () => {
  for (const [path, made] of generatedFiles())
    it(`${path} is what is in the repository (npm run generate)`, () => {
      assert.equal(readFileSync(join(packageRoot(), path), 'utf8'), made);
    });

  it('is the same on every machine', () => {
    for (const [path, made] of generatedFiles()) assert.ok(!made.includes(packageRoot()), path);
    const hub = writtenSchema().properties?.['hub'];
    assert.ok(isSchema(hub) && isSchema(hub.properties?.['id']));
    assert.equal(hub.properties['id'].default, undefined);
  });

  it('every key is described in a sentence, and in the reference', () => {
    const reference = content('docs/CONFIG.md');
    const keys = [...keysOf(writtenSchema(), '')];
    assert.ok(keys.length > 80);
    for (const [path, { description }] of keys) {
      assert.match(description ?? '', /^.{8,}[.]$/s, `${path} has no description`);
      assert.ok(
        reference.includes(description?.replaceAll('|', '\\|') ?? '-'),
        `${path} is not in docs/CONFIG.md`,
      );
    }
  });

  it('types of sinks and bridges use no name that all sinks or bridges have', () => {
    const common = ['id', 'type', 'topics', 'start', 'formerly', 'batch', 'retry'];
    for (const spec of [...SINKS, ...BRIDGES])
      for (const key of common)
        if (spec.type === 'simulator' && key !== 'id' && key !== 'type') continue;
        else assert.ok(!Object.hasOwn(spec.options.shape, key), `${spec.type}.${key}`);
  });

  it('the JSON Schema takes what the loader takes', () => {
    const editor: unknown = JSON.parse(content('config/holdfast.schema.json'));
    assert.ok(isSchema(editor));
    const validator = z.fromJSONSchema(editor);
    const good = [
      {},
      { hub: null, http: { port: '${PORT}', token: { file: '/run/token' } } },
      { mqtt: { anonymous: true, listeners: [{ type: 'tcp', port: 1 }] } },
      { log: { capacity: { bytes_max: '1 GiB' }, retention: { age_max: '${AGE}' } } },
      { sinks: [{ id: 'a', type: 'http', url: 'http://x', headers: { a: { file: 'x' } } }] },
    ];
    const bad = [
      { hubs: {} },
      { http: { port: 'eighty' } },
      { log: { capacity: { bytes_max: 1 } } },
      { sinks: [{ id: 'a', type: 'htpp', url: 'http://x' }] },
      { sinks: [{ id: 'a', type: 'http' }] },
    ];
    for (const data of good)
      assert.equal(validator.safeParse(data).success, true, JSON.stringify(data));
    for (const data of bad) {
      assert.equal(validator.safeParse(data).success, false, JSON.stringify(data));
      assert.equal(schema.safeParse(data).success, false, JSON.stringify(data));
    }
  });
});

describe('the commented example', () => {
  const example = content('config/holdfast.example.yaml');
  /** Takes one `# ` away, as somebody does who wants to change a default or to use a block. */
  const uncomment = (text: string) => text.replaceAll(/^( *)# (?!yaml-|Holdfast|change)/gm, '$1');

  it('loads as it is, and is a hub that does something', () => {
    const config = parsed(example);
    assert.equal(config.mqtt.listeners.length, 1);
    assert.equal(config.decode.length, 1);
    assert.equal(config.sinks.length, 1);
  });

  it('names every type of sink, bridge and format', () => {
    for (const spec of [...SINKS, ...BRIDGES])
      assert.match(example, new RegExp(`type: ${spec.type}$`, 'm'));
    for (const format of ['json', 'number', 'csv'])
      assert.match(example, new RegExp(`format: ${format}$`, 'm'));
  });

  it('shows values that are the defaults and blocks that work', () => {
    const all = uncomment(example);
    const s3 = { OBJECT_STORAGE_S3_ACCESS_KEY_ID: 'x', OBJECT_STORAGE_S3_SECRET_ACCESS_KEY: 'x' };
    const env = { HTTP_TOKEN: 'x', ...s3 };
    const problems = problemsOf(all, env);
    // The only key that means nothing with the default beside it.
    assert.deepEqual(
      problems.map((problem) => problem.split('  ')[1]?.split(' ')[0]),
      ['log.commit.interval_ms'],
    );
    const used = parsed(all.replace(/^.*interval_ms: 1000\n/m, ''), env);
    assert.equal(used.sinks.length, SINKS.length);
    assert.equal(used.bridges.length, BRIDGES.length);
    assert.equal(used.decode.length, 3);
    const defaults = parsed('');
    assert.deepEqual(used.log, defaults.log);
    assert.deepEqual(used.mqtt.limits, defaults.mqtt.limits);
    const [first] = used.sinks;
    assert.deepEqual(first?.retry, { delay_min: 1000, delay_max: 300_000, attempts_max: 20 });
  });
});
