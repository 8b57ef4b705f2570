import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { StoredObject } from '../../hub/forward/claim-check/object-store.ts';
import type { S3StoreOptions } from '../../hub/forward/claim-check/s3-store.ts';
import { StoredKeys } from '../../hub/forward/claim-check/stored-keys.ts';
import { afterTest } from '../support/after-test.ts';
import {
  type ObjectFarSide,
  objectFarSide,
  type StorageMode,
  storeFor,
} from '../support/object-far-side.ts';
import { until } from '../support/until.ts';

/** Connections of one sink, closed after the test. */
function uploadsFor(t: TestContext, side: ObjectFarSide, more: Partial<S3StoreOptions> = {}) {
  const uploads = storeFor(side, more).open();
  afterTest(t, () => uploads.close());
  return uploads;
}

const never = (): AbortSignal => new AbortController().signal;

function objectOf(text: string, more: Partial<StoredObject> = {}): StoredObject {
  const content = Buffer.from(text);
  const sha256 = createHash('sha256').update(content).digest('hex');
  const key = 'holdfast/gw/a1b2/normal/7-ab';
  const about = { eventId: 'gw.a1b2.normal.7', topic: 'wärme/süd', type: 'text/plain' };
  return { key, content, sha256, ...about, ...more };
}

test('object storage: what is stored is the content, with type, event and topic', async (t) => {
  const side = await objectFarSide(t);
  const store = storeFor(side);
  const uploads = store.open();
  afterTest(t, () => uploads.close());
  assert.equal(await uploads.put(objectOf('hello'), never()), 5);
  const object = side.objects.get('holdfast/gw/a1b2/normal/7-ab');
  assert.equal(object?.content.toString(), 'hello');
  assert.equal(object.type, 'text/plain');
  assert.deepEqual(object.metadata, {
    'event-id': 'gw.a1b2.normal.7',
    sha256: createHash('sha256').update('hello').digest('hex'),
    topic: 'w%C3%A4rme%2Fs%C3%BCd',
  });
  const url = store.urlOf('holdfast/gw/a1b2/normal/7-ab');
  assert.equal(await (await fetch(url)).text(), 'hello', 'the reference leads to it');
});

test('object storage: a topic that is too long for metadata, or is no text, keeps nothing back', async (t) => {
  const side = await objectFarSide(t);
  const store = uploadsFor(t, side);
  await store.put(objectOf('a', { topic: 'x'.repeat(5_000), key: 'long' }), never());
  await store.put(objectOf('a', { topic: '\ud800', key: 'half' }), never());
  assert.deepEqual([...side.objects.keys()], ['long', 'half']);
  assert.equal(side.objects.get('long')?.metadata['topic'], undefined);
  assert.equal(side.objects.get('half')?.metadata['topic'], '%EF%BF%BD');
});

test('object storage: the same object is sent once, a replay sends it again', async (t) => {
  const side = await objectFarSide(t);
  const shared = storeFor(side);
  const sinks = [1, 2, 3].map(() => shared.open());
  afterTest(t, () => sinks.map((sink) => sink.close()));
  const [store = shared.open()] = sinks;
  const together = sinks.map((sink) => sink.put(objectOf('hello'), never()));
  assert.deepEqual((await Promise.all(together)).sort(), [0, 0, 5]);
  assert.equal(await store.put(objectOf('hello'), never()), 0);
  assert.equal(side.requests, 1);
  assert.equal(await store.put(objectOf('hello', { replay: 1 }), never()), 5);
  assert.equal(await store.put(objectOf('hello', { replay: 1 }), never()), 0);
  assert.equal(side.puts.length, 2);
});

test('object storage: who waited for another upload that failed sends it itself', async (t) => {
  const side = await objectFarSide(t);
  const shared = storeFor(side, { timeoutMs: 60_000 });
  const [one, store] = [shared.open(), shared.open()];
  afterTest(t, () => [one, store].map((sink) => sink.close()));
  side.mode = 'hang';
  const first = new AbortController();
  const given = new Error('the first one stops');
  const failing = assert.rejects(one.put(objectOf('hello'), first.signal), given);
  await until('the first to be on its way', () => side.requests === 1);
  const second = store.put(objectOf('hello'), never());
  const third = new AbortController();
  const leaving = assert.rejects(store.put(objectOf('hello'), third.signal), /third/);
  third.abort(new Error('third'));
  await leaving;
  side.mode = 'ok';
  first.abort(given);
  await failing;
  assert.equal(await second, 5);
});

async function failure(t: TestContext, mode: StorageMode, code: string, message: RegExp) {
  const side = await objectFarSide(t);
  const store = uploadsFor(t, side, { timeoutMs: 200 });
  side.mode = mode;
  await assert.rejects(store.put(objectOf('hello'), never()), { code, message });
  side.mode = 'ok';
  assert.equal(await store.put(objectOf('hello'), never()), 5, 'nothing was remembered as stored');
}

test('object storage: failures are those of a link, and pass', async (t) => {
  await failure(t, '500', 'SINK_DISCONNECTED', /^object storage big: .* answered 500/);
  await failure(t, 'lose-ack', 'SINK_DISCONNECTED', /^object storage big: .* cannot be reached/);
  await failure(t, 'hang', 'SINK_TIMEOUT', /^object storage big: .* did not answer within 0.2 s/);
  await failure(t, 'slow-down', 'SINK_THROTTLED', /SlowDown/);
  await failure(t, 'too-large', 'SINK_REJECTED', /EntityTooLarge/);
  await failure(t, 'moved', 'SINK_REFUSED', /the bucket is in region eu-central-1/);
  const side = await objectFarSide(t);
  await side.stop();
  const gone = uploadsFor(t, side);
  const disconnected = { code: 'SINK_DISCONNECTED', message: /cannot be reached/ };
  await assert.rejects(gone.put(objectOf('a'), never()), disconnected);
});

test('object storage: what a person has to mend is refused, with what it is about', async (t) => {
  const side = await objectFarSide(t);
  const refused = (message: RegExp) => ({ code: 'SINK_REFUSED', message });
  const wrong = { ...side.account, secretAccessKey: 'wrong' };
  const badSecret = uploadsFor(t, side, { credentials: wrong });
  await assert.rejects(
    badSecret.put(objectOf('a'), never()),
    refused(/ answered 403: SignatureDoesNotMatch: no$/),
  );
  const unknown = uploadsFor(t, side, { credentials: { ...wrong, accessKeyId: 'nobody' } });
  await assert.rejects(unknown.put(objectOf('a'), never()), refused(/InvalidAccessKeyId/));
  const elsewhere = uploadsFor(t, side, { bucket: 'other' });
  await assert.rejects(elsewhere.put(objectOf('a'), never()), refused(/NoSuchBucket/));
  const url = new URL(side.url.replace('http:', 'https:'));
  const noAuthority = uploadsFor(t, side, { url, tls: { ca_file: 'missing.pem' } });
  await assert.rejects(
    noAuthority.put(objectOf('a'), never()),
    refused(/ca_file .* cannot be read/),
  );
});

test('object storage: a clock that is off is said so, and the next try uses the time of then', async (t) => {
  const side = await objectFarSide(t);
  let wallMs = Date.now() - 40 * 60_000;
  const store = uploadsFor(t, side, { wallMs: () => wallMs });
  const message =
    /refuses the clock of this hub, which is 40 min from its own .*until the clock is set/;
  await assert.rejects(store.put(objectOf('a'), never()), { code: 'SINK_DISCONNECTED', message });
  wallMs = Date.now();
  assert.equal(await store.put(objectOf('a'), never()), 1);
});

test('object storage: an upload that is aborted settles at once, with the reason', async (t) => {
  const side = await objectFarSide(t);
  const store = uploadsFor(t, side, { timeoutMs: 60_000 });
  side.mode = 'hang';
  const controller = new AbortController();
  const given = new Error('the hub stops');
  const putting = assert.rejects(store.put(objectOf('a'), controller.signal), given);
  await until('the request to be there', () => side.requests === 1);
  controller.abort(given);
  await putting;
  await assert.rejects(store.put(objectOf('a'), controller.signal), given);
  assert.equal(side.requests, 1);
});

test('object storage: the address of a bucket, and of references', async (t) => {
  const side = await objectFarSide(t);
  const url = new URL('https://s3.eu-central-1.amazonaws.com');
  const inHost = storeFor(side, { url, pathStyle: false });
  assert.equal(inHost.urlOf('a/b'), 'https://telemetry.s3.eu-central-1.amazonaws.com/a/b');
  const inPath = storeFor(side, { url });
  assert.equal(inPath.urlOf('a/b'), 'https://s3.eu-central-1.amazonaws.com/telemetry/a/b');
  const other = storeFor(side, { url, referenceUrl: 's3://telemetry/' });
  assert.equal(other.urlOf('a/b'), 's3://telemetry/a/b');
});

test('object storage: what was stored is remembered for an hour, and only so much of it', () => {
  let nowMs = 0;
  const keys = new StoredKeys(() => nowMs);
  keys.add('first');
  nowMs += 3_599_000;
  assert.ok(keys.has('first'));
  nowMs += 2_000;
  assert.ok(!keys.has('first'));
  keys.add('first');
  for (let i = 0; i < 10_000; i++) keys.add(`key-${i}`);
  assert.ok(!keys.has('first'), 'the oldest gives way');
  assert.ok(keys.has('key-0') && keys.has('key-9999'));
});

test('object storage: what goes over the wire is counted for the sink that sent it', async (t) => {
  const side = await objectFarSide(t);
  const shared = storeFor(side);
  const [one, other] = [shared.open(), shared.open()];
  afterTest(t, () => [one, other].map((sink) => sink.close()));
  const large = objectOf('x'.repeat(100_000));
  await one.put(large, never());
  await other.put(large, never());
  const bytes = one.wireBytes();
  assert.ok(bytes > 100_000 && bytes < 102_000, `${bytes}`);
  assert.equal(other.wireBytes(), 0);
  one.close();
  assert.ok(one.wireBytes() >= bytes, 'also of connections that are closed');
});
