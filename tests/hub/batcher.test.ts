import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { HubEvent } from '../../hub/core/event.ts';
import { Batcher, type Run } from '../../hub/forward/batcher.ts';
import type { PieceLimits } from '../../hub/forward/flight.ts';
import type { Block, EventLog } from '../../hub/log/log.ts';

interface Given {
  /** Events per block; `damaged` blocks are never handed out. */
  readonly blocks: readonly { readonly sizes: readonly number[]; readonly damaged: boolean }[];
  readonly head: number;
}

const topicOf = (offset: number): string => (offset % 3 === 0 ? 'other' : 'wanted');
const wanted = (topic: string): boolean => topic === 'wanted';

function eventAt(offset: number, bytes: number): HubEvent {
  return {
    lane: 'normal',
    offset,
    kind: 'message',
    topic: topicOf(offset),
    payload: Buffer.alloc(bytes),
    source: 'test',
    receivedMs: 0,
    timeQuality: 'synced',
    monotonicMs: 0,
    bootId: 'boot',
  };
}

function blockOf(firstOffset: number, sizes: readonly number[]): Block {
  const events = sizes.map((bytes, index) => eventAt(firstOffset + index, bytes));
  const topics = ['other', 'wanted'];
  return {
    lane: 'normal',
    firstOffset,
    count: sizes.length,
    span: sizes.length,
    topics,
    firstReceivedMs: 0,
    lastReceivedMs: 0,
    storedBytes: 0,
    indexFrom: (offset) => Math.max(0, offset - firstOffset),
    offsetAt: (index) => firstOffset + index,
    payloadBytesAt: (index) => sizes[index] ?? 0,
    topicIndexAt: (index) => topics.indexOf(topicOf(firstOffset + index)),
    eventAt: (index) => events[index] ?? assert.fail('outside the block'),
  };
}

/** As much of a log as a batcher reads; `grow` makes the blocks after it readable. */
class Blocks {
  readonly readable: Block[] = [];
  head = 0;
  tail = 0;

  grow({ sizes, damaged }: Given['blocks'][number]): void {
    if (!damaged && sizes.length > 0) this.readable.push(blockOf(this.tail, sizes));
    this.tail += sizes.length;
  }

  asLog(): EventLog {
    return {
      id: 'log',
      append: () => assert.fail('a batcher only reads'),
      range: () => ({ head: this.head, tail: this.tail }),
      read: async (_lane, offset) => {
        const from = Math.max(offset, this.head);
        const rest = this.readable.filter((b) => b.firstOffset + b.count > from);
        return rest.slice(0, 2);
      },
      seek: () => assert.fail('a batcher only reads'),
      corrections: 0,
      onCommit: () => assert.fail('a batcher only reads'),
      status: () => assert.fail('a batcher only reads'),
    };
  }
}

function blocksOf({ blocks, head }: Given): Blocks {
  const all = new Blocks();
  for (const block of blocks) all.grow(block);
  const kept = all.readable.find((b) => b.firstOffset >= head);
  all.head = head === 0 ? 0 : (kept?.firstOffset ?? all.tail);
  return all;
}

const given: fc.Arbitrary<Given> = fc.record({
  blocks: fc.array(
    fc.record({
      sizes: fc.array(fc.nat(40), { minLength: 1, maxLength: 12 }),
      damaged: fc.boolean().map((value) => value),
    }),
    { maxLength: 12 },
  ),
  head: fc.oneof(fc.constant(0), fc.nat(30)),
});
const limits = fc.record({
  eventsMax: fc.integer({ min: 1, max: 20 }),
  bytesMax: fc.integer({ min: 1, max: 200 }),
});

async function allRuns(batcher: Batcher, max: PieceLimits): Promise<Run[]> {
  const runs: Run[] = [];
  for (let from = 0; ; from = runs.at(-1)?.to ?? from) {
    const run = await batcher.next(from, max);
    if (!run) return runs;
    runs.push(run);
  }
}

function assertSound(run: Run, { eventsMax, bytesMax }: PieceLimits) {
  assert.ok(run.to > run.from);
  assert.equal(
    run.to - run.from,
    run.events.length + run.filtered + run.dropped + run.corrupt,
    'every offset is in one of the four',
  );
  assert.ok(run.events.length <= eventsMax);
  const bytes = run.events.reduce((sum, { payload }) => sum + payload.length, 0);
  assert.ok(bytes <= bytesMax || run.events.length === 1, `${bytes} bytes`);
  for (const { offset } of run.events) assert.ok(offset >= run.from && offset < run.to);
}

test('batcher: runs cover the lane without gap or overlap, whatever is filtered, gone or damaged', async () => {
  await fc.assert(
    fc.asyncProperty(given, limits, async (of, max) => {
      const blocks = blocksOf(of);
      const runs = await allRuns(new Batcher(blocks.asLog(), 'normal', wanted), max);
      let to = 0;
      for (const run of runs) {
        assert.equal(run.from, to);
        assertSound(run, max);
        ({ to } = run);
      }
      assert.equal(to, blocks.tail);
      const model = blocks.readable
        .filter((b) => b.firstOffset + b.count > blocks.head)
        .flatMap((b) => Array.from({ length: b.count }, (_, i) => b.firstOffset + i))
        .filter((offset) => wanted(topicOf(offset)));
      const got = runs.flatMap(({ events }) => events.map(({ offset }) => offset));
      assert.deepEqual(got, model);
      const dropped = runs.reduce((sum, run) => sum + run.dropped, 0);
      assert.equal(dropped, blocks.head, 'what is below the head was dropped');
    }),
  );
});

test('batcher: a run that is extended while the log grows is the run that would have been cut', async () => {
  await fc.assert(
    fc.asyncProperty(given, limits, fc.nat(12), async ({ blocks }, max, early) => {
      const log = new Blocks();
      for (const block of blocks.slice(0, early)) log.grow(block);
      const batcher = new Batcher(log.asLog(), 'normal', wanted);
      let run = await batcher.next(0, max);
      for (const block of blocks.slice(early)) {
        log.grow(block);
        run = run ? await batcher.extend(run, max) : await batcher.next(0, max);
        if (run) assertSound(run, max);
      }
      const whole = await new Batcher(log.asLog(), 'normal', wanted).next(0, max);
      const shape = (r: Run | undefined) => r && [r.events.map(({ offset }) => offset), r.full];
      // where nothing but gaps follow, an early run may have ended at one and keeps its end
      if (run?.events.length) assert.deepEqual(shape(run), shape(whole));
      else assert.equal(run === undefined, whole === undefined);
    }),
  );
});

test('batcher: with a filter that lets nothing through, the whole lane is settled', async () => {
  const log = blocksOf({ blocks: [{ sizes: [1, 1, 1], damaged: false }], head: 0 });
  const batcher = new Batcher(log.asLog(), 'normal', () => false);
  const max = { eventsMax: 2, bytesMax: 9 };
  const run = await batcher.next(0, max);
  assert.deepEqual([run?.to, run?.filtered, run?.events.length], [3, 3, 0]);
  assert.equal(await batcher.next(3, max), undefined);
});

test('batcher: asked again for an earlier place it gives the same, and counts nothing as lost', async () => {
  const sizes = [1, 1, 1, 1];
  const log = blocksOf({ blocks: [0, 1, 2].map(() => ({ sizes, damaged: false })), head: 0 });
  const batcher = new Batcher(log.asLog(), 'normal', () => true);
  const max = { eventsMax: 5, bytesMax: 99 };
  const first = await batcher.next(0, max);
  await batcher.next(5, max);
  assert.deepEqual(await batcher.next(0, max), first);
});

test('batcher: what is appended while a damaged tail is read is not counted as lost', async () => {
  const log = new Blocks();
  log.grow({ sizes: [1, 1], damaged: true });
  const plain = log.asLog();
  const batcher = new Batcher(
    {
      ...plain,
      read: async (...args) => {
        const found = await plain.read(...args);
        if (log.tail === 2) log.grow({ sizes: [1, 1, 1], damaged: false });
        return found;
      },
    },
    'normal',
    () => true,
  );
  const run = await batcher.next(0, { eventsMax: 9, bytesMax: 99 });
  assert.deepEqual([run?.corrupt, run?.events.map(({ offset }) => offset)], [2, [2, 3, 4]]);
});
