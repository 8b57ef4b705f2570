import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { checkCommand } from '../../hub/cli/check.ts';
import { afterTest } from '../support/after-test.ts';

async function check(t: TestContext, text: string | undefined, json = false) {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-check-'));
  afterTest(t, () => rm(dir, { recursive: true }));
  const config = join(dir, 'hub.yaml');
  if (text !== undefined) await writeFile(config, text);
  const out: string[] = [];
  const err: string[] = [];
  const code = await checkCommand(
    { config, json },
    {
      stdout: { write: (chunk) => out.push(chunk) },
      stderr: { write: (chunk) => err.push(chunk) },
      env: { TOKEN: 'hunter2' },
    },
  );
  return { code, out: out.join(''), err: err.join('').replaceAll(dir, ''), file: config };
}

const GOOD = [
  'hub: {id: gw, data_dir: /var/lib/holdfast}',
  'mqtt: {anonymous: true, listeners: [{type: tcp}]}',
  'sinks: [{id: cloud, type: http, url: "https://x.example", token: "${TOKEN}"}]',
  'bridges: [{id: sim, type: simulator}]',
  '',
].join('\n');

describe('holdfast check', () => {
  it('says what a good configuration is', async (t) => {
    const { code, out, err, file } = await check(t, GOOD);
    assert.equal(code, 0);
    assert.equal(err, '');
    assert.deepEqual(out.split('\n'), [
      `OK ${file}`,
      '  hub      gw',
      '  data     /var/lib/holdfast',
      '  mqtt     tcp 127.0.0.1:1883',
      '  http     127.0.0.1:8080',
      '  bridges  sim (simulator)',
      '  sinks    cloud (http)',
      '',
    ]);
  });

  it('names every problem and exits with 78', async (t) => {
    const { code, out, err } = await check(t, 'hub: {idd: x}\nhttp: {port: -1}\n');
    assert.equal(code, 78);
    assert.equal(out, '');
    assert.deepEqual(err.split('\n'), [
      '/hub.yaml:1:7  hub.idd — unknown key (did you mean `id`?)',
      '/hub.yaml:2:14  http.port — must be at least 0',
      '2 problems in /hub.yaml',
      '',
    ]);
  });

  it('exits with 78 when the file is not there', async (t) => {
    const { code, err } = await check(t, undefined);
    assert.equal(code, 78);
    assert.match(err, /^\/hub\.yaml:1:1 {2}cannot be read: ENOENT/);
    assert.match(err, /\n1 problem in \/hub\.yaml\n$/);
  });

  it('answers in JSON', async (t) => {
    const good = await check(t, GOOD, true);
    assert.equal(good.code, 0);
    assert.deepEqual(JSON.parse(good.out), { ok: true, file: good.file, problems: [] });
    const bad = await check(t, 'hub: {idd: x}\n', true);
    assert.equal(bad.code, 78);
    assert.equal(bad.err, '');
    assert.deepEqual(JSON.parse(bad.out), {
      ok: false,
      file: bad.file,
      problems: [
        {
          file: bad.file,
          line: 1,
          column: 7,
          key: 'hub.idd',
          message: 'unknown key',
          hint: 'did you mean `id`?',
        },
      ],
      more: 0,
    });
  });
});
