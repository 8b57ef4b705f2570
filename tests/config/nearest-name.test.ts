import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { nameDistance, nearestName } from '../../config/nearest-name.ts';

describe('the distance between two names', () => {
  it('counts letters inserted, deleted, replaced and swapped', () => {
    assert.equal(nameDistance('', ''), 0);
    assert.equal(nameDistance('port', 'port'), 0);
    assert.equal(nameDistance('', 'abc'), 3);
    assert.equal(nameDistance('prot', 'port'), 1);
    assert.equal(nameDistance('pot', 'port'), 1);
    assert.equal(nameDistance('sport', 'port'), 1);
    assert.equal(nameDistance('part', 'port'), 1);
    assert.equal(nameDistance('kitten', 'sitting'), 3);
  });

  it('is the same in both directions, and never more than the longer name', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        const distance = nameDistance(a, b);
        assert.equal(distance, nameDistance(b, a));
        assert.ok(distance <= Math.max(a.length, b.length));
        assert.equal(distance === 0, a === b);
      }),
    );
  });
});

describe('the nearest name', () => {
  const KEYS = ['listeners', 'anonymous', 'allow_insecure', 'limits', 'bytes_max', 'url', 'id'];

  it('is what a slip of the finger meant', () => {
    const cases = {
      listener: 'listeners',
      anonymos: 'anonymous',
      allowInsecure: 'allow_insecure',
      'allow-insecure': 'allow_insecure',
      LIMITS: 'limits',
      ulr: 'url',
      max_bytes: 'bytes_max',
      size_bytes_max: 'bytes_max',
    };
    for (const [name, meant] of Object.entries(cases))
      assert.equal(nearestName(name, KEYS), meant, name);
  });

  it('is none when nothing is near', () => {
    for (const name of ['', 'x', 'q', 'password', 'zzzzzzzz', 'l'.repeat(10_000)])
      assert.equal(nearestName(name, KEYS), undefined, name);
    assert.equal(nearestName('url', []), undefined);
  });
});
