import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { parsed, problemsOf } from './problems-of.ts';

const KEYS = 'access_key_id: AKIAEXAMPLE, secret_access_key: hunter2-horse';
const store = (more = '', id = 'big') =>
  `{id: ${id}, type: s3, url: "https://s3.example.org", bucket: telemetry, ${KEYS}${more}}`;
const STORE = `object_storage: [${store()}]\n`;
const sink = (more: string) => `sinks:\n  - {id: a, type: http, url: "http://x", ${more}}\n`;

describe('object storage', () => {
  it('has defaults that suit a server of your own, and keeps its secrets', () => {
    const [found] = parsed(STORE).object_storage;
    assert.ok(found);
    const { region, prefix, path_style, timeout } = found;
    assert.deepEqual(
      [region, prefix, path_style, timeout],
      ['us-east-1', 'holdfast/', true, 30_000],
    );
    assert.equal(found.secret_access_key.reveal(), 'hunter2-horse');
    assert.ok(!`${JSON.stringify(found)}${inspect(found, { depth: 9 })}`.includes('hunter2'));
    const env = { K: 'AKIA', S: 'from-the-environment' };
    const text = STORE.replace('hunter2-horse', '${S}');
    const [fromEnv] = parsed(text, env).object_storage;
    assert.equal(fromEnv?.secret_access_key.reveal(), 'from-the-environment');
  });

  it('names what is wrong', () => {
    const problem = (more: string) => problemsOf(`object_storage: [${store(more)}]\n`).join('\n');
    const url = STORE.replace('s3.example.org', 's3.example.org/telemetry');
    assert.match(problemsOf(url).join(), /object_storage\[0\]\.url — is the address of the server/);
    const bucket = STORE.replace('bucket: telemetry', 'bucket: Big_One');
    assert.match(problemsOf(bucket).join(), /\.bucket — is no name of a bucket/);
    for (const prefix of ['no-slash', '/a/', 'a//', '../', './', 'a b/', 'ü/'])
      assert.match(problem(`, prefix: "${prefix}"`), /\.prefix — may hold only/, prefix);
    for (const prefix of ['""', 'a/', 'a/b-c_d.e/'])
      assert.equal(problem(`, prefix: ${prefix}`), '', prefix);
    assert.match(problem(', reference_url: telemetry'), /\.reference_url — expected an address/);
    assert.equal(problem(', reference_url: "s3://telemetry"'), '');
    assert.match(problem(', cert_file: a'), /\.key_file — cert_file and key_file belong together/);
    const noKeys = STORE.replace(`, ${KEYS}`, '');
    assert.match(
      problemsOf(noKeys).join('\n'),
      /access_key_id — is required[\s\S]*secret_access_key/,
    );
    const twice = `object_storage: [${store()}, ${store()}]\n`;
    assert.match(
      problemsOf(twice).join(),
      /object_storage\[1\]\.id — is the id of object_storage\[0\] too/,
    );
  });
});

describe('claim_check of a sink', () => {
  const limit = 'event_bytes_max: 256 KiB';

  it('is true, false, or the id of an object storage', () => {
    for (const value of ['true', 'false', 'big'])
      assert.deepEqual(problemsOf(`${STORE}${sink(`${limit}, claim_check: ${value}`)}`), []);
    assert.deepEqual(problemsOf(sink(limit)), [], 'dead letters need no storage');
    assert.deepEqual(problemsOf(sink(`${limit}, claim_check: false`)), []);
  });

  it('needs an object storage, and a limit', () => {
    assert.deepEqual(problemsOf(sink(`${limit}, claim_check: true`)), [
      '2:81  sinks[0].claim_check — is true, and there is no `object_storage`',
    ]);
    assert.match(
      problemsOf(`${STORE}${sink(`${limit}, claim_check: bog`)}`).join(),
      /sinks\[0\]\.claim_check — is the id of no object storage: bog \(`big`\)$/,
    );
    assert.match(
      problemsOf(`${STORE}${sink('claim_check: big')}`).join(),
      /sinks\[0\]\.claim_check — has no meaning without `event_bytes_max`/,
    );
  });

  it('is not for line protocol, whose far side has no limit for one event', () => {
    const influx = `sinks:\n  - {id: a, type: influx, url: "http://x", ${limit}}\n`;
    assert.match(problemsOf(influx).join(), /sinks\[0\]\.event_bytes_max — /);
  });

  it('has a limit that an event without its data fits into', () => {
    assert.match(problemsOf(sink('event_bytes_max: 100 B')).join(), /must be at least `1 KiB`/);
  });
});
