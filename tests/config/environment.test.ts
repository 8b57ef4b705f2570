import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { substituteEnvironment } from '../../config/environment.ts';
import { parsed, problemsOf } from './problems-of.ts';

describe('environment variables in a configuration', () => {
  it('are replaced anywhere in a value', () => {
    const env = { NAME: 'gate', HOST: '127.0.0.1' };
    const config = parsed(
      'hub: {id: "${NAME}-${NR:-01}"}\nhttp: {host: $HOST}\n'.replace('$HOST', '${HOST}'),
      env,
    );
    assert.equal(config.hub.id, 'gate-01');
    assert.equal(config.http.host, '127.0.0.1');
  });

  it('become numbers and truth values where these are expected, and stay text elsewhere', () => {
    const config = parsed('hub: {id: ${A}}\nhttp: {port: ${A}}\nmqtt: {anonymous: "${B}"}\n', {
      A: '1234',
      B: 'true',
    });
    assert.equal(config.hub.id, '1234');
    assert.equal(config.http.port, 1234);
    assert.equal(config.mqtt.anonymous, true);
  });

  it('that are not set are problems where they stand', () => {
    assert.deepEqual(problemsOf('hub:\n  id: "a-${NAME}"\nhttp:\n  port: ${PORT}\n'), [
      '2:10  hub.id — the environment variable NAME is not set',
      '4:9  http.port — the environment variable PORT is not set',
    ]);
  });

  it('that are not set are not also missing', () => {
    assert.deepEqual(problemsOf('sinks: [{id: a, type: http, url: ${URL}}]\n'), [
      '1:34  sinks[0].url — the environment variable URL is not set',
    ]);
  });

  it('with bad values are judged without being shown', () => {
    const problems = problemsOf('log: {commit: {profile: ${P}}}\n', { P: 'hunter2' });
    assert.deepEqual(problems, [
      '1:25  log.commit.profile — is not one of: latency, balanced, card',
    ]);
  });

  it('that are empty leave a key without a value', () => {
    assert.equal(parsed('http: {token: ${TOKEN:-}}\n').http.token, undefined);
    assert.deepEqual(problemsOf('http: {host: 0.0.0.0, token: ${TOKEN:-}}\n').length, 1);
  });

  it('of objects are no variables', () => {
    assert.match(problemsOf('hub: {id: ${constructor}}\n').join(), /constructor is not set/);
  });

  it('are substituted as a shell does', () => {
    const env = { A: 'a', EMPTY: '' };
    const text = (input: string) => substituteEnvironment(input, env).text;
    assert.equal(text('x${A}y${A}'), 'xaya');
    assert.equal(text('${A:-b}'), 'a');
    assert.equal(text('${EMPTY:-b}'), 'b');
    assert.equal(text('${EMPTY}'), '');
    assert.equal(text('${NONE:-b c:-d}'), 'b c:-d');
    assert.equal(text('$${A} $A {A}'), '${A} $A {A}');
  });

  it('have names, and references an end', () => {
    for (const text of ['${}', '${a-b}', '${1}', '${A', '${A:b}'])
      assert.match(
        substituteEnvironment(text, {}).problems[0]?.message ?? '',
        /names an environment/,
      );
  });
});
