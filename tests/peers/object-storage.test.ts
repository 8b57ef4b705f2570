import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connectAsync } from 'mqtt';
import { signedHeaders } from '../../hub/core/aws-signature.ts';
import type { StoredObject } from '../../hub/forward/claim-check/object-store.ts';
import { S3Store, type S3StoreOptions } from '../../hub/forward/claim-check/s3-store.ts';
import { startTestServer } from '../contract/sink-http-server.ts';
import { afterTest } from '../support/after-test.ts';
import { freePort } from '../support/free-port.ts';
import { eventually, hubYaml, runHub } from '../support/hub-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

/** An S3 server in one program that checks signatures, checksums and clocks as S3 does. */
const PROGRAM = 'versitygw';
const HINT = `needs ${PROGRAM}: go install github.com/versity/versitygw/cmd/versitygw@latest`;
const CREDENTIALS = { accessKeyId: 'AKIAHOLDFAST', secretAccessKey: 'wJalrXUtn/FEMI+K7MDENG' };

const never = (): AbortSignal => new AbortController().signal;
const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

interface Gateway {
  readonly url: string;
  /** Of an object in the bucket `telemetry`. */
  fileOf(key: string): string;
}

/**
 * Undefined, and the test is skipped, when the program is not there: also in CI, because neither
 * Debian nor npm has a server that checks signatures. The far side of our own does in every run.
 */
async function gateway(t: TestContext): Promise<Gateway | undefined> {
  if (spawnSync(PROGRAM, ['--version'], { stdio: 'ignore' }).error !== undefined) {
    t.skip(HINT);
    return undefined;
  }
  const folder = await temporaryFolder(t);
  const [root, metadata] = [join(folder, 'root'), join(folder, 'metadata')];
  await mkdir(join(root, 'telemetry'), { recursive: true });
  await mkdir(metadata);
  const address = `127.0.0.1:${await freePort()}`;
  const [access, secret] = [CREDENTIALS.accessKeyId, CREDENTIALS.secretAccessKey];
  const options = ['--port', address, '--access', access, '--secret', secret, '--quiet'];
  const where = ['posix', '--sidecar', metadata, root];
  const server = spawn(PROGRAM, [...options, ...where], { stdio: 'ignore' });
  afterTest(t, async () => {
    server.kill('SIGKILL');
    if (server.exitCode === null && server.signalCode === null) await once(server, 'close');
  });
  const url = `http://${address}`;
  await until('the gateway to answer', async () => {
    const answer = await fetch(url).catch(() => undefined);
    return answer !== undefined;
  });
  return { url, fileOf: (key) => join(root, 'telemetry', key) };
}

function uploadsFor(t: TestContext, url: string, more: Partial<S3StoreOptions> = {}) {
  const store = new S3Store({
    id: 'big',
    url: new URL(url),
    bucket: 'telemetry',
    region: 'us-east-1',
    prefix: 'holdfast/',
    pathStyle: true,
    referenceUrl: undefined,
    credentials: CREDENTIALS,
    timeoutMs: 10_000,
    tls: {},
    folder: '/nonexistent',
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    ...more,
  });
  const uploads = store.open();
  afterTest(t, () => uploads.close());
  return uploads;
}

function objectOf(content: Buffer, more: Partial<StoredObject> = {}): StoredObject {
  const about = { eventId: 'gw.a1b2.normal.7', topic: 'wärme/süd', type: 'application/json' };
  const key = 'holdfast/gw/a1b2/normal/7-0123456789abcdef';
  return { key, content, sha256: sha256(content), ...about, ...more };
}

async function signedGet(url: string): Promise<Response> {
  const where = { method: 'GET', url: new URL(url), service: 's3', region: 'us-east-1' };
  const bodySha256 = sha256(Buffer.alloc(0));
  const request = { ...where, headers: {}, bodySha256, timeMs: Date.now() };
  return await fetch(url, { headers: await signedHeaders(request, CREDENTIALS, new Map()) });
}

test('peer: a real S3 server takes our signature and stores the bytes, type and metadata', async (t) => {
  const peer = await gateway(t);
  if (!peer) return;
  const uploads = uploadsFor(t, peer.url);
  const content = randomBytes(300_000);
  const object = objectOf(content);
  assert.equal(await uploads.put(object, never()), content.length);
  assert.equal(await uploads.put({ ...object, replay: 1 }, never()), content.length, 'overwritten');
  assert.ok((await readFile(peer.fileOf(object.key))).equals(content));
  const answer = await signedGet(`${peer.url}/telemetry/${object.key}`);
  assert.equal(answer.status, 200);
  assert.ok(Buffer.from(await answer.arrayBuffer()).equals(content));
  assert.equal(answer.headers.get('content-type'), 'application/json');
  assert.equal(answer.headers.get('x-amz-meta-event-id'), 'gw.a1b2.normal.7');
  assert.equal(answer.headers.get('x-amz-meta-topic'), 'w%C3%A4rme%2Fs%C3%BCd');
  assert.equal(answer.headers.get('x-amz-meta-sha256'), object.sha256);
});

test('peer: what a real S3 server refuses is told for what it is', async (t) => {
  const peer = await gateway(t);
  if (!peer) return;
  const small = objectOf(Buffer.from('hello'));
  const rejects = async (
    more: Partial<S3StoreOptions>,
    code: string,
    message: RegExp,
    object = small,
  ) => await assert.rejects(uploadsFor(t, peer.url, more).put(object, never()), { code, message });
  const secret = { ...CREDENTIALS, secretAccessKey: 'wrong' };
  await rejects({ credentials: secret }, 'SINK_REFUSED', /SignatureDoesNotMatch/);
  const nobody = { ...CREDENTIALS, accessKeyId: 'AKIANOBODY' };
  await rejects({ credentials: nobody }, 'SINK_REFUSED', /InvalidAccessKeyId|No user exists/);
  await rejects({ bucket: 'elsewhere' }, 'SINK_REFUSED', /NoSuchBucket/);
  await rejects({ region: 'eu-central-1' }, 'SINK_REFUSED', /us-east-1/);
  const late = () => Date.now() - 40 * 60_000;
  await rejects({ wallMs: late }, 'SINK_DISCONNECTED', /which is 40 min from its own/);
  const damaged = objectOf(Buffer.from('hello'), { sha256: sha256(Buffer.from('jello')) });
  await rejects({}, 'SINK_DISCONNECTED', /XAmzContentSHA256Mismatch/, damaged);
  assert.equal(await uploadsFor(t, peer.url).put(small, never()), 5);
});

test('peer: from MQTT through a real S3 server to the far side', async (t) => {
  const peer = await gateway(t);
  if (!peer) return;
  const far = await startTestServer(t, () => ({ status: 204 }));
  const keys = `access_key_id: ${CREDENTIALS.accessKeyId}, secret_access_key: ${CREDENTIALS.secretAccessKey}`;
  const store = `{ id: big, type: s3, url: "${peer.url}", bucket: telemetry, ${keys} }`;
  const sink = `{ id: cloud, type: http, url: "${far.url}", event_bytes_max: 8 KiB, batch: { linger_ms: 0 } }`;
  const folder = await temporaryFolder(t);
  const hub = await runHub(t, folder, hubYaml([sink], [`object_storage: [${store}]`]));
  await hub.ready();
  const payload = randomBytes(200_000);
  const client = await connectAsync(`mqtt://127.0.0.1:${hub.mqttPort}`);
  await client.publishAsync('site/a/cam/image', payload, { qos: 1 });
  await client.endAsync();
  await eventually('delivered', () => far.taken.some(({ body }) => body.includes('site/a/cam')));
  const body = far.taken.find((request) => request.body.includes('site/a/cam'))?.body ?? '[]';
  const [event]: { dataref?: string }[] = JSON.parse(body);
  const answer = await signedGet(event?.dataref ?? '');
  assert.ok(Buffer.from(await answer.arrayBuffer()).equals(payload));
});
