import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { Secret } from '../../config/fields.ts';
import { loadConfig } from '../../config/load.ts';
import { afterTest } from '../support/after-test.ts';
import { parsed, problemsOf } from './problems-of.ts';

const HTTP_SINK = 'sinks:\n  - id: a\n    type: http\n    url: http://x\n';
const TOKEN = 'hunter2-correct-horse';

describe('secrets of a configuration', () => {
  it('are text, a variable or a file, also with digits only', () => {
    const reveal = (token: string, env = {}) =>
      parsed(`http: {token: ${token}}\n`, env).http.token?.reveal();
    assert.equal(reveal(TOKEN), TOKEN);
    assert.equal(reveal('${T}', { T: TOKEN }), TOKEN);
    assert.equal(reveal('007'), '007');
    assert.equal(reveal('true'), 'true');
    assert.equal(reveal('${T}', { T: '42' }), '42');
  });

  it('come from files that start at the folder of the configuration', async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'holdfast-secrets-'));
    afterTest(t, () => rm(dir, { recursive: true }));
    await writeFile(join(dir, 'token'), `${TOKEN}\n`);
    const file = join(dir, 'hub.yaml');
    const load = (text: string, env = {}) =>
      writeFile(file, text).then(() => loadConfig({ file }, env).config);
    assert.equal((await load('http: {token: {file: token}}\n')).http.token?.reveal(), TOKEN);
    const viaEnv = 'http: {token: {file: "${DIR}/token"}}\n';
    assert.equal((await load(viaEnv, { DIR: dir })).http.token?.reveal(), TOKEN);
    const header =
      'sinks: [{id: a, type: http, url: "http://127.0.0.1", headers: {X-Key: {file: token}}}]\n';
    const [sink] = (await load(header)).sinks;
    assert.ok(sink);
    const value: unknown = Reflect.get(Reflect.get(sink, 'headers'), 'X-Key');
    assert.ok(value instanceof Secret);
    assert.equal(value.reveal(), TOKEN);

    await writeFile(join(dir, 'empty'), '\n');
    await assert.rejects(
      load('http: {token: {file: empty}}\n'),
      /:1:22 {2}http\.token — the secret file is empty/,
    );
    await assert.rejects(load('http: {token: {file: none}}\n'), /cannot be read: ENOENT/);
    await assert.rejects(load('http: {token: {file: .}}\n'), /not a regular file/);
    await writeFile(join(dir, 'large'), 'x'.repeat(65 * 1024));
    await assert.rejects(load('http: {token: {file: large}}\n'), /larger than 64 KiB/);
  });
});

describe('secrets that are none', () => {
  it('are not taken from files anywhere else', () => {
    assert.deepEqual(problemsOf('hub: {id: {file: /etc/hostname}}\n'), [
      '1:11  hub.id — expected text, not a mapping',
    ]);
    for (const token of ['{fil: /x}', '{file: /x, b: 1}', '{file: [a]}', '[a]', '{}'])
      assert.match(
        problemsOf(`http: {token: ${token}}\n`).join(),
        /^1:15 {2}http\.token — expected text, `\$\{ENV_NAME\}` or `\{ file: PATH \}`$/,
      );
  });

  it('are not empty: that would look protected and be open', () => {
    assert.deepEqual(problemsOf('http: {host: 0.0.0.0, token: ""}\n'), [
      '1:30  http.token — is empty',
    ]);
    assert.deepEqual(problemsOf('http: {host: 0.0.0.0, token: "${T}"}\n', { T: '' }), [
      '1:30  http.token — is empty',
    ]);
  });

  it('is not in what a configuration is printed or serialised as', () => {
    const config = parsed(`http: {token: ${TOKEN}}\n`);
    for (const text of [
      JSON.stringify(config),
      inspect(config, { depth: 9, showHidden: true }),
      `${config.http.token}`,
    ])
      assert.ok(!text.includes('hunter2'), text);
  });
});

describe('the text of secrets', () => {
  it('is in no message, whatever is wrong around them', () => {
    const env = { T: TOKEN };
    for (const value of [
      TOKEN,
      `"${TOKEN}"`,
      '"${T}"',
      `*${TOKEN}`,
      `!${TOKEN} x`,
      `"a" ${TOKEN}`,
      `"${TOKEN}`,
      `{${TOKEN}: x}`.replace(TOKEN, 'file, b'),
      `[${TOKEN}]`,
      `|${TOKEN}`,
      `@${TOKEN}`,
      `a: ${TOKEN}`,
      `"\\q${TOKEN}"`,
      `{file: /${TOKEN.length}}`,
      `"${TOKEN}\\n"`,
    ])
      for (const text of [
        `http:\n  token: ${value}\n  prt: 1\n`,
        `http:\n  tokn: ${value}\n`,
        `token: ${value}\n`,
        `sinks:\n  - id: a\n    type: htp\n    url: x\n    token: ${value}\n`,
        `${HTTP_SINK}    headers: {Authorization: ${value}}\n    token: ${value}\n`,
        `${HTTP_SINK}    headers: {"a b": ${value}}\n`,
        `sinks:\n  - id: a\n    type: influx\n    url: http://x\n    password: ${value}\n`,
      ])
        for (const problem of problemsOf(text, env))
          assert.ok(!problem.includes('hunter2'), `${problem}\nfor ${text}`);
  });
});
