import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BlockBuilder, StoredBlock } from '../../hub/log/block/block-body.ts';
import { readBody, readHeader, sealBlock } from '../../hub/log/block/block-format.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { message } from '../support/log-fixture.ts';

const FIRST = 1_000_000_000_000;

/** `steps`: from the offset of each record to that of the next. */
async function sealed(steps: readonly number[]): Promise<Buffer> {
  const clock = new FakeClock();
  const builder = new BlockBuilder();
  builder.start(clock);
  for (const step of steps) {
    clock.advance(step);
    builder.add(message(step), clock);
  }
  const { firstReceivedMs, lastReceivedMs, firstMonotonicMs, clockSynced, count } = builder;
  const times = { firstReceivedMs, lastReceivedMs, firstMonotonicMs, clockSynced };
  const span = steps.reduce((sum, step) => sum + step, 0);
  const place = await sealBlock(
    builder.body(steps),
    { lane: 'bulk', count, bootId: clock.bootId, ...times },
    { span, intervalMs: 40_000, replacedBytes: 123_456_789_012 },
  );
  return place(FIRST, 77);
}

test('a thinned block says what it covers and where its records are', async () => {
  const anySteps = fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(anySteps, fc.double({ min: 0, max: 1, noNaN: true }), async (steps, share) => {
      const stored = await sealed(steps);
      const header = readHeader('bulk', FIRST, stored);
      const span = steps.reduce((sum, step) => sum + step, 0);
      const { intervalMs, replacedBytes, bytesBefore, storedBytes } = header;
      assert.deepEqual(
        { span: header.span, intervalMs, replacedBytes, bytesBefore, storedBytes },
        {
          span,
          intervalMs: 40_000,
          replacedBytes: 123_456_789_012,
          bytesBefore: 77,
          storedBytes: stored.length,
        },
      );
      const block = new StoredBlock(header, await readBody(header, stored));
      const offsets = steps.map((_, index) => block.eventAt(index).offset);
      let end = FIRST;
      assert.deepEqual(
        offsets,
        steps.map((step) => {
          end += step;
          return end - 1;
        }),
      );
      const sought = FIRST + Math.floor(share * span);
      const found = offsets.findIndex((offset) => offset >= sought);
      assert.equal(block.indexFrom(sought), found < 0 ? steps.length : found);
      assert.equal(block.indexFrom(FIRST - 1), 0);
      assert.equal(block.indexFrom(FIRST + span), steps.length);
      const first = block.eventAt(0);
      assert.equal(first.receivedMs - block.firstReceivedMs, steps[0], 'times begin with the run');
    }),
  );
});

test('any flipped bit and any cut of a thinned block is noticed', async () => {
  const stored = await sealed([3, 1, 200, 1]);
  for (let bit = 0; bit < stored.length * 8; bit++) {
    const damaged = Buffer.from(stored);
    damaged[bit >>> 3] = (damaged[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
    assert.throws(() => readHeader('bulk', FIRST, damaged), { code: 'LOG_CORRUPT' }, `bit ${bit}`);
  }
  for (let length = 0; length < stored.length; length++) {
    const cut = stored.subarray(0, length);
    assert.throws(() => readHeader('bulk', FIRST, cut), { code: 'LOG_CORRUPT' }, `${length} bytes`);
  }
});
