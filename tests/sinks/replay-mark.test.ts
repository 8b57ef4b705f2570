import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { cloudEventBatchEncoder, cloudEventEncoder } from '../../hub/core/cloud-event.ts';
import type { Batch } from '../../hub/core/event.ts';
import type { Sink } from '../../hub/core/sink.ts';
import { fileSinkSpec } from '../../sinks/file/spec.ts';
import { httpSinkSpec } from '../../sinks/http/spec.ts';
import { connect, sinkContext } from '../contract/sink.ts';
import { batchOf, decodeForTest } from '../contract/sink-events.ts';
import { startTestServer } from '../contract/sink-http-server.ts';
import { afterTest } from '../support/after-test.ts';

const never = (): AbortSignal => new AbortController().signal;
async function send(sink: Sink, batch: Batch): Promise<void> {
  await sink.send(await sink.encode(batch), never());
}

const replayOf = (batch: Batch, replay: number): Batch => ({ ...batch, replay });

for (const content of ['payload', 'readings'] as const) {
  test(`replay mark: a CloudEvent (${content}) differs by the mark alone`, () => {
    const options = { hubId: 'gw', logId: 'a1', decode: decodeForTest, content };
    const encoderFor = cloudEventBatchEncoder(options);
    const batch = batchOf(5, 3);
    for (const event of batch.events) {
      const live = encoderFor(batch)(event);
      assert.equal(live, cloudEventEncoder(options)(event));
      const replayed = JSON.parse(encoderFor(replayOf(batch, 2))(event));
      assert.deepEqual(replayed, { ...JSON.parse(live), replay: true });
      assert.equal('replay' in JSON.parse(live), false);
    }
  });
}

test('replay mark: an HTTP far side sees it, and a batch that it has not seen yet', async (t) => {
  const far = await startTestServer(t, () => ({ status: 204 }));
  const options = httpSinkSpec.options.parse({ url: far.url });
  const sink = await httpSinkSpec.create(options, sinkContext('/nonexistent'));
  await connect(sink);
  afterTest(t, () => sink.close(never()));
  const batch = batchOf(7, 3);
  const sent = [batch, replayOf(batch, 1), replayOf(batch, 2), replayOf(batch, 2)];
  for (const each of sent) await sink.send(await sink.encode(each), never());
  const events: { id: string; replay?: boolean }[][] = far.taken.map(({ body }) =>
    JSON.parse(body),
  );
  assert.deepEqual(
    events.map((all) => all.map(({ replay }) => replay ?? false)),
    [false, true, true, true].map((mark) => [mark, mark, mark]),
  );
  assert.equal(new Set(events.flat().map(({ id }) => id)).size, 3, 'the ids are the same');
  const keys = far.taken.map(({ headers }) => headers['idempotency-key']);
  assert.deepEqual(
    keys,
    ['', '-replay-1', '-replay-2', '-replay-2'].map((end) => `gateway-01.a1b2.normal.7-9${end}`),
  );
});

test('replay mark: a file gets the lines again, though it has them', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'holdfast-file-'));
  afterTest(t, () => rm(dataDir, { recursive: true, force: true }));
  const options = fileSinkSpec.options.parse({ path: 'out' });
  const create = () => fileSinkSpec.create(options, sinkContext(dataDir));
  const first = await create();
  await connect(first);
  await send(first, batchOf(0, 10));
  await first.close(never());
  const sink = await create(); // knows what is in the file
  afterTest(t, () => sink.close(never()));
  await connect(sink);
  await send(sink, replayOf(batchOf(0, 5), 1));
  await send(sink, batchOf(5, 8)); // what a crash makes come again
  const text = await readFile(join(dataDir, 'out', 'cloud.ndjson'), 'utf8');
  const lines = text.trim().split('\n');
  const found = lines.map((line): string => {
    const { data, replay } = JSON.parse(line);
    return `${data}${replay ? 'r' : ''}`;
  });
  const live = Array.from({ length: 10 }, (_, i) => String(i));
  assert.deepEqual(found, [...live, '0r', '1r', '2r', '3r', '4r', '10', '11', '12']);
});
