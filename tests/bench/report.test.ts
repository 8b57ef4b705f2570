import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { startReceiver } from '../../bench/receiver.ts';
import { median, table } from '../../bench/statistics.ts';
import { afterTest } from '../support/after-test.ts';
import { freePort } from '../support/free-port.ts';

test('the median of odd and even counts, in any order, and of nothing', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([7]), 7);
  assert.throws(() => median([]), /nothing/);
});

test('a table has its columns below one another', () => {
  const text = table(
    ['', 'msg/s'],
    [
      ['Holdfast', '9'],
      ['x', '1,000'],
    ],
  );
  assert.deepEqual(text.split('\n'), [
    '          msg/s',
    '--------  -----',
    'Holdfast      9',
    'x         1,000',
  ]);
});

test('the receiver keeps book of events, duplicates and disorder, plain and gzipped', async (t) => {
  const port = await freePort();
  const receiver = await startReceiver(port);
  afterTest(t, () => receiver.close());
  const send = async (offsets: readonly number[], zip = false) => {
    const ids = offsets.map((offset) => ({
      specversion: '1.0',
      id: `bench.ab12.normal.${offset}`,
    }));
    const text = Buffer.from(JSON.stringify(ids));
    const headers: Record<string, string> = zip ? { 'content-encoding': 'gzip' } : {};
    const body = zip ? gzipSync(text) : text;
    const answer = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers, body });
    assert.equal(answer.status, 204);
  };
  assert.equal(receiver.firstMs, undefined);
  await send([0, 1, 2], true);
  await send([2, 3]);
  await send([9, 5]);
  assert.ok(receiver.firstMs !== undefined);
  const { unique, duplicates, disordered } = receiver;
  assert.deepEqual({ unique, duplicates, disordered }, { unique: 6, duplicates: 1, disordered: 1 });
});
