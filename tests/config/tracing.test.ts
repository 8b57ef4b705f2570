import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parsed, problemsOf } from './problems-of.ts';

describe('tracing', () => {
  it('is off by default', () => {
    assert.deepEqual(parsed('hub: {id: a}\n').tracing, { sample_ratio: 0 });
  });

  it('has a ratio, and a collector with secrets', () => {
    const { sample_ratio, otlp } = parsed(
      'tracing: {sample_ratio: 0.001, otlp: {url: "https://c.example/v1/traces", headers: {k: s}}}\n',
    ).tracing;
    assert.equal(sample_ratio, 0.001);
    assert.deepEqual(
      [otlp?.url, otlp?.compression, otlp?.timeout],
      ['https://c.example/v1/traces', 'gzip', 30_000],
    );
    assert.equal(otlp?.headers['k']?.reveal(), 's');
    assert.doesNotMatch(JSON.stringify(otlp), /"s"/);
  });

  it('says what is wrong', () => {
    const cases: readonly [string, RegExp][] = [
      ['sample_ratio: 2', /^1:25 {2}tracing\.sample_ratio — must be at most 1/],
      ['sample_ratio: "0.1"', /sample_ratio — expected a number/],
      ['otlp: {}', /otlp\.url — is required/],
      ['otlp: {url: "localhost:4318"}', /otlp\.url — expected an address/],
      ['otlp: {url: "http://c/", headers: {Content-Type: x}}', /header is set by the hub itself/],
      ['otlp: {url: "http://c/", headers: {"a b": x}}', /does not allow|not allow/],
      ['otlp: {url: "http://c/", cert_file: a}', /belong together/],
      ['otlp: {url: "http://c/", connections_max: 2}', /unknown key/],
    ];
    for (const [yaml, expected] of cases)
      assert.match(problemsOf(`tracing: {${yaml}}\n`).join('\n'), expected, yaml);
  });
});
