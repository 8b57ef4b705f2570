import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { connectAsync } from 'mqtt';
import { type SeenRequest, startTestServer } from '../contract/sink-http-server.ts';
import { eventually, type HubProcess, hubYaml, runHub } from '../support/hub-process.ts';
import { objectFarSide } from '../support/object-far-side.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** Of the CloudEvent that the far side gets. */
interface WireEvent {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly datacontenttype: string;
  readonly data?: unknown;
  readonly data_base64?: string;
  readonly dataref?: string;
  readonly datarefbytes?: number;
  readonly datarefsha256?: string;
}

const eventsOf = ({ body }: SeenRequest): WireEvent[] => {
  const events: WireEvent[] = JSON.parse(body);
  return events.filter(({ type }) => type === 'dev.holdfast.message.v1');
};

const cloud = (url: string, more = ''): string =>
  `{ id: cloud, type: http, url: "${url}", timeout: 2 s, event_bytes_max: 8 KiB, ` +
  `batch: { linger_ms: 0 }, retry: { delay_min: 20 ms, delay_max: 200 ms }${more} }`;

async function publish(hub: HubProcess, messages: readonly (readonly [string, Buffer])[]) {
  const client = await connectAsync(`mqtt://127.0.0.1:${hub.mqttPort}`);
  for (const [topic, payload] of messages) await client.publishAsync(topic, payload, { qos: 1 });
  await client.endAsync();
}

const JSON_LARGE = Buffer.from(JSON.stringify({ temp: 21, text: 'ä€\n'.repeat(9_000) }, null, 1));
const BINARY_LARGE = randomBytes(40_000);
const SMALL = Buffer.from('{"temp":20}');

const MESSAGES = [
  ['site/a/cam/image', BINARY_LARGE],
  ['site/a/dev/small', SMALL],
  ['site/a/dev/large', JSON_LARGE],
] as const;

async function assertByReference(event: WireEvent | undefined, payload: Buffer, type: string) {
  assert.ok(event?.dataref, JSON.stringify(event));
  assert.ok(!('data' in event) && !('data_base64' in event));
  assert.equal(event.datacontenttype, type);
  assert.equal(event.datarefbytes, payload.length);
  assert.equal(event.datarefsha256, createHash('sha256').update(payload).digest('hex'));
  const answer = await fetch(event.dataref);
  assert.equal(answer.headers.get('content-type'), type);
  assert.ok(Buffer.from(await answer.arrayBuffer()).equals(payload), 'byte for byte');
}

async function farSides(t: TestContext) {
  const storage = await objectFarSide(t);
  const far = await startTestServer(t, () => ({ status: 204 }));
  return { storage, far, folder: await temporaryFolder(t) };
}

test('e2e: large payloads are in object storage byte for byte, and the far side gets references', async (t) => {
  const { storage, far, folder } = await farSides(t);
  const yaml = hubYaml([cloud(far.url)], [`object_storage: [${storage.yaml}]`]);
  const hub = await runHub(t, folder, yaml);
  await hub.ready();
  storage.mode = '500';
  await publish(hub, MESSAGES);
  await eventually('the outage of the storage to show', async () => {
    const { detail } = await hub.sink('cloud');
    return /^object storage big: .* answered 500/.test(detail ?? '');
  });
  assert.deepEqual(far.taken.flatMap(eventsOf), []);
  storage.mode = 'ok';
  await eventually('drained', async () => (await hub.sink('cloud')).lagEvents === 0);
  const events = far.taken.flatMap(eventsOf);
  assert.deepEqual(
    events.map(({ subject }) => subject),
    MESSAGES.map(([topic]) => topic),
  );
  await assertByReference(events[0], BINARY_LARGE, 'application/octet-stream');
  assert.deepEqual(events[1]?.data, { temp: 20 });
  await assertByReference(events[2], JSON_LARGE, 'application/json');
  assert.equal((await hub.sink('cloud')).deadLetters, 0);
  const object = storage.objects.get(storage.puts[0] ?? '');
  assert.equal(object?.metadata['event-id'], events[0]?.id);
  assert.ok(!`${hub.stdout}${hub.stderr}`.includes(storage.account.secretAccessKey));
});

test('e2e: a hub killed between upload and delivery stores the same object again', async (t) => {
  const { storage, far, folder } = await farSides(t);
  const yaml = hubYaml([cloud(far.url)], [`object_storage: [${storage.yaml}]`]);
  far.behaviour = () => 'stall';
  const first = await runHub(t, folder, yaml);
  await first.ready();
  await publish(first, MESSAGES);
  await eventually('the delivery to be under way', () => far.requests.length > 0);
  await first.kill('SIGKILL');
  const [stored = ''] = storage.puts;
  const putsOf = (key: string) => storage.puts.filter((put) => put === key).length;
  const putsBefore = putsOf(stored);
  assert.ok(putsBefore > 0);
  far.behaviour = () => ({ status: 204 });
  const second = await runHub(t, folder, yaml);
  await second.ready();
  await eventually('drained', async () => (await second.sink('cloud')).lagEvents === 0);
  assert.equal(storage.objects.size, 2, 'no object without an event');
  assert.equal(putsOf(stored), putsBefore + 1, 'nothing was taken for granted');
  const events = far.taken.flatMap(eventsOf);
  assert.equal(new Set(events.map(({ id }) => id)).size, 3);
  await assertByReference(events.at(0), BINARY_LARGE, 'application/octet-stream');
  await assertByReference(events.at(-1), JSON_LARGE, 'application/json');
});

test('e2e: without object storage what is too large is a dead letter, the others go on', async (t) => {
  const { far, folder } = await farSides(t);
  const hub = await runHub(t, folder, hubYaml([cloud(far.url)]));
  await hub.ready();
  await publish(hub, MESSAGES);
  await eventually('settled', async () => (await hub.sink('cloud')).lagEvents === 0);
  const events = far.requests.flatMap(eventsOf);
  assert.deepEqual(
    events.map(({ subject }) => subject),
    ['site/a/dev/small'],
  );
  assert.equal((await hub.sink('cloud')).deadLetters, 2);
  assert.match(hub.stdout, /is more than the 8 KiB that this sink takes; configure object_storage/);
});
