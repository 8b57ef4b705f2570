/**
 * Commands from the outside: POST to a real hub process, to devices that others made. A firmware
 * with the C library, slaves of libmodbus, an MQTT client, a port whose device does not listen.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connectAsync } from 'mqtt';
import { afterTest } from '../support/after-test.ts';
import { inbox } from '../support/broker-fixture.ts';
import {
  bridgeStatus,
  carriedOut,
  commandFacts,
  commandNow,
  endedCommand,
  giveCommand,
} from '../support/command-client.ts';
import { eventually, type HubProcess, hubYaml, runHub } from '../support/hub-process.ts';
import { type Board, hasPrograms, LinkRig } from '../support/link-rig.ts';
import { hasModbusPeer, ModbusBench } from '../support/modbus-peer.ts';
import { hasSocat, PseudoTerminals } from '../support/pseudo-terminal.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

async function started(t: TestContext, folder: string, bridges: string[]): Promise<HubProcess> {
  const hub = await runHub(t, folder, hubYaml(['{ id: out, type: file, path: out }'], bridges));
  await hub.ready();
  return hub;
}

const isReading = (hub: HubProcess, id: string) =>
  eventually(`${id} is read`, async () => (await bridgeStatus(hub, id)).state === 'reading');
const isLost = (hub: HubProcess, id: string) =>
  eventually(`${id} is lost`, async () => (await bridgeStatus(hub, id)).state !== 'reading');

const LINK = { gcc: 'gcc libc6-dev', socat: 'socat' };

async function linked(t: TestContext): Promise<{ rig: LinkRig; hub: HubProcess; board: Board }> {
  const rig = await LinkRig.start(t);
  const hub = await rig.startHub();
  const board = rig.board({ readings: 1e6, intervalMs: 100, bufferBytes: 60_000 });
  await until('the board is there', () => board.acked.length > 0);
  return { rig, hub, board };
}

test('to a firmware: done, not known, too long, repeated', async (t) => {
  if (!hasPrograms(t, LINK)) return;
  const { hub, board } = await linked(t);
  const done = await carriedOut(hub, 'nano', { name: 'echo', data: 'hi' });
  assert.deepEqual([done.state, done.answer, done.via], ['done', 'hi', 'bridge:board']);
  assert.ok(done.sentMs !== null);
  const unknown = await carriedOut(hub, 'nano', { name: 'dance' });
  assert.deepEqual(
    [unknown.state, unknown.detail],
    ['failed', 'the device does not know this command'],
  );
  const long = await carriedOut(hub, 'nano', { name: 'echo', data: 'x'.repeat(117) });
  assert.deepEqual(
    [long.state, long.detail],
    ['failed', 'name and data have 121 bytes, and `nano` takes 120'],
  );
  assert.equal(
    (await carriedOut(hub, 'nano', { name: 'echo', data: 'x'.repeat(116) })).state,
    'done',
  );
  const before = board.commands.length;
  const give = (data: string) => giveCommand(hub, 'nano', { name: 'echo', data }, 'k1');
  const twice = await Promise.all([give('a'), give('a')]);
  assert.deepEqual(new Set(twice.map(({ status }) => status)), new Set([200, 202]));
  assert.equal(twice[0].body.id, twice[1].body.id);
  await endedCommand(hub, 'nano', twice[0].body.id);
  const third = await give('a');
  assert.deepEqual([third.status, third.body.state], [200, 'done']);
  assert.equal((await give('b')).status, 422);
  assert.equal(board.commands.length, before + 1, 'done once');
});

test('to a firmware: it does not answer, the line is cut, the hub is killed, the port is away', async (t) => {
  if (!hasPrograms(t, LINK)) return;
  const { rig, hub: first, board } = await linked(t);
  board.process.kill('SIGSTOP');
  const late = await carriedOut(first, 'nano', { name: 'echo', data: 'late', ttlMs: 500 });
  assert.deepEqual(
    [late.state, late.detail],
    ['expired', 'no answer came before its time was over'],
  );
  const cut = (await giveCommand(first, 'nano', { name: 'echo', data: 'cut' })).body;
  const isSent = async () => (await commandNow(first, 'nano', cut.id)).state === 'sent';
  await eventually('it is sent', isSent);
  await rig.cut();
  const lost = await endedCommand(first, 'nano', cut.id);
  assert.equal(lost.state, 'failed');
  assert.match(lost.detail ?? '', /hub-end was lost or closed .* not known/);
  const away = await giveCommand(first, 'nano', { name: 'echo' });
  assert.deepEqual([away.status, away.retryAfter], [503, '5']);
  assert.match(away.body.detail ?? '', /`nano` is on bridge `board`.*hub-end.*Nothing was sent/);

  await rig.connect();
  board.process.kill('SIGCONT');
  const { length } = board.acked;
  await until('the board is there again', () => board.acked.length > length);
  board.process.kill('SIGSTOP');
  const killed = (await giveCommand(first, 'nano', { name: 'echo', data: 'killed' }, 'k2')).body;
  await first.kill('SIGKILL');
  board.process.kill('SIGCONT');
  const hub = await rig.startHub();
  const unclear = await endedCommand(hub, 'nano', killed.id);
  assert.equal(unclear.state, 'failed');
  assert.match(unclear.detail ?? '', /whether the device has it is not known/);
  const again = await giveCommand(hub, 'nano', { name: 'echo', data: 'killed' }, 'k2');
  assert.deepEqual([again.status, again.body.id], [200, killed.id], 'not sent a second time');
  await hub.kill('SIGKILL');
  await rig.cut();

  // a device of a former run is still the bridge's, although nobody has seen its port
  const without = await rig.startHub();
  const lonely = await giveCommand(without, 'nano', { name: 'echo' });
  assert.equal(lonely.status, 503, JSON.stringify(lonely.body));
  assert.match(lonely.body.detail ?? '', /there is no port .*hub-end/);
  const facts = await commandFacts(without);
  assert.deepEqual(facts, [
    ...['echo accepted', 'echo expired', 'echo accepted', 'echo failed'],
    ...['echo accepted', 'echo failed'],
  ]);
});

const REGISTERS =
  '[{ metric: setpoint, address: 30, scale: 0.5, min: 0, max: 50, writable: true }, ' +
  '{ metric: flow, address: 31 }, { metric: pump, address: 0, kind: coil, writable: true }]';

const modbus = (id: string, transport: string, units: number) =>
  `{ id: ${id}, type: modbus, transport: ${transport}, interval: 100 ms, timeout: 150 ms, slaves: [` +
  Array.from(
    { length: units },
    (_, i) => `{ unit: ${i + 1}, device: ${id}-${i + 1}, registers: ${REGISTERS} }`,
  ).join(', ') +
  '] }';

test('to modbus slaves: written, refused, dead, busy, unplugged', async (t) => {
  if (!hasModbusPeer(t)) return;
  const bench = await ModbusBench.make(t);
  await bench.plug();
  const peer = await bench.slaveOnLine(t, 2);
  const { peer: far, port } = await bench.slaveOverTcp(t, 1);
  const hub = await started(t, await temporaryFolder(t), [
    'bridges:',
    `  - ${modbus('bus', `{ type: rtu, port: ${bench.port}, baud_rate: 115200 }`, 2)}`,
    `  - ${modbus('net', `{ type: tcp, host: 127.0.0.1, port: ${port} }`, 1)}`,
  ]);
  await isReading(hub, 'bus');
  await isReading(hub, 'net');

  const set = (data: unknown) => carriedOut(hub, 'bus-1', { name: 'setpoint', data });
  for (const [data, raw] of [
    [21.5, 43],
    ['22', 44],
    [{ value: 23 }, 46],
  ] as const) {
    assert.equal((await set(data)).state, 'done');
    assert.equal(await peer.tell('get 1 h 30'), `${raw}`);
  }
  assert.equal((await carriedOut(hub, 'bus-1', { name: 'pump', data: true })).state, 'done');
  assert.equal(await peer.tell('get 1 c 0'), '1');
  assert.equal((await carriedOut(hub, 'net-1', { name: 'setpoint', data: 33 })).state, 'done');
  assert.equal(await far.tell('get 1 h 30'), '66');

  for (const [data, why] of [
    [51, /allowed are 0 to 50/],
    [20.3, /no multiple of its step of 0.5/],
    [true, /takes a number/],
    [null, /`data` is no number/],
  ] as const) {
    const refused = await set(data);
    assert.deepEqual([refused.state, refused.sentMs], ['failed', null]);
    assert.match(refused.detail ?? '', why);
  }
  const readOnly = await carriedOut(hub, 'bus-1', { name: 'flow', data: 1 });
  assert.match(readOnly.detail ?? '', /`flow` is not `writable`/);
  assert.equal(await peer.tell('get 1 h 30'), '46');

  await peer.tell('busy 1 1');
  assert.match((await set(10)).detail ?? '', /bus-1 \(unit 1\), .*exception 6: it is busy/);
  await peer.tell('busy 1 0');
  await peer.tell('mute 1 1');
  assert.match((await set(10)).detail ?? '', /written or not|nothing was written/);
  assert.equal((await set(10)).state, 'failed');
  assert.equal((await carriedOut(hub, 'bus-2', { name: 'setpoint', data: 10 })).state, 'done');

  await bench.unplug();
  await isLost(hub, 'bus');
  const away = await giveCommand(hub, 'bus-1', { name: 'setpoint', data: 12 });
  assert.equal(away.status, 503);
  assert.match(away.body.detail ?? '', /`bus-1` is on bridge `bus`.*Nothing was sent/);
  await far.kill();
  await isLost(hub, 'net');
  // why the line was lost, and not what was told of its slaves before
  const { detail } = await bridgeStatus(hub, 'net');
  assert.match(detail ?? '', new RegExp(`^127.0.0.1:${port}: `));
});

test('over MQTT: an answer, an error, no answer, and one after kill -9', async (t) => {
  const folder = await temporaryFolder(t);
  const first = await started(t, folder, []);
  assert.equal((await giveCommand(first, 'pump-1', { name: 'set' })).status, 404);
  const connect = async (hub: HubProcess) => {
    const url = `mqtt://127.0.0.1:${hub.mqttPort}`;
    const client = await connectAsync(url, { clientId: 'pump', clean: false, reconnectPeriod: 0 });
    client.on('error', () => {}); // the hub is killed
    afterTest(t, () => client.end(true));
    return client;
  };
  const pump = await connect(first);
  const received = inbox(pump);
  await pump.subscribeAsync('cmd/pump-1/+', { qos: 1 });
  await pump.publishAsync('site/hall/pump-1/rpm', '100', { qos: 1 });
  const isKnown = async () => (await first.get('/api/v1/devices')).text();
  await eventually('the pump is known', async () => (await isKnown()).includes('pump-1'));

  const ask = async (name: string, result?: string) => {
    const given = await giveCommand(first, 'pump-1', { name, data: { rpm: 1200 }, ttlMs: 1_000 });
    await until(`${name} has come`, () => received.includes(`cmd/pump-1/${name} {"rpm":1200}`));
    if (result !== undefined) await pump.publishAsync(`cmd/pump-1/${name}/result`, result);
    return await endedCommand(first, 'pump-1', given.body.id);
  };
  const done = await ask('speed', '{"ok":true}');
  assert.deepEqual([done.state, done.answer, done.via], ['done', '{"ok":true}', 'mqtt']);
  const failed = await ask('turn', '{"error":"jammed"}');
  assert.deepEqual([failed.state, failed.detail], ['failed', 'jammed']);
  assert.equal((await ask('silent')).state, 'sent');

  const slow = (await giveCommand(first, 'pump-1', { name: 'slow' }, 'k')).body;
  await until('slow has come', () => received.includes('cmd/pump-1/slow '));
  await eventually('that is durable', async () => {
    return (await commandFacts(first)).includes('slow sent');
  });
  await first.kill('SIGKILL');
  const hub = await started(t, folder, []);
  assert.equal((await commandNow(hub, 'pump-1', slow.id)).endedMs, null);
  const back = await connect(hub);
  await back.publishAsync('cmd/pump-1/slow/result', 'fine', { qos: 1 });
  assert.deepEqual((await endedCommand(hub, 'pump-1', slow.id)).answer, 'fine');
  const again = await giveCommand(hub, 'pump-1', { name: 'slow' }, 'k');
  assert.deepEqual([again.status, again.body.state], [200, 'done']);
});

const XOFF = '\x13';
const XON = '\x11';

test('to a port whose device does not listen: what has expired is never written', async (t) => {
  if (!hasSocat(t)) return;
  const folder = await temporaryFolder(t);
  const terminals = new PseudoTerminals(join(folder, 'port'), join(folder, 'device'));
  await terminals.plugIn();
  afterTest(t, () => terminals.unplug());
  const hub = await started(t, folder, [
    `bridges: [{ id: scale, type: serial, port: ${terminals.port}, flow_control: xon_xoff, frame_bytes_max: 32 KiB, write: {} }]`,
  ]);
  await isReading(hub, 'scale');
  await terminals.write(XOFF);
  const data = 'x'.repeat(16_000); // more than the system takes
  const expired = await carriedOut(hub, 'scale', { name: 'tare', data, ttlMs: 500 });
  assert.deepEqual([expired.state, expired.sentMs], ['expired', null]);
  assert.match(expired.detail ?? '', /port takes no bytes: check `flow_control`/);
  await isReading(hub, 'scale');
  await terminals.write(XON);
  const next = await carriedOut(hub, 'scale', { name: 'tare', data: 'T' });
  assert.equal(next.state, 'sent');
  let seen = '';
  await until('the next one has come', async () => {
    seen += (await terminals.read()).toString();
    return seen.endsWith('T\n');
  });
  assert.ok(seen.length < data.length, `${seen.length} bytes`);
});
