import assert from 'node:assert/strict';
import { symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { ModbusBridge } from '../../firmware-bridge/modbus/modbus.ts';
import { modbusSpec } from '../../firmware-bridge/modbus/spec.ts';
import { createFramer } from '../../firmware-bridge/serial/framing/create.ts';
import { createSerialBridge, type SerialBridge } from '../../firmware-bridge/serial/serial.ts';
import { serialSpec } from '../../firmware-bridge/serial/spec.ts';
import { systemClock } from '../../hub/clock/system-clock.ts';
import type { BadFrameReason, BridgeContext } from '../../hub/core/bridge.ts';
import { describeError, HubError } from '../../hub/core/errors.ts';
import { BridgeRunner } from '../../hub/intake/bridges.ts';
import { afterTest } from '../support/after-test.ts';
import { type BrokerFixture, brokerFixture } from '../support/broker-fixture.ts';
import { carriedOut, commandNow, giveCommand } from '../support/command-client.ts';
import { httpFarSide } from '../support/http-far-side.ts';
import { eventually, hubYaml, runHub } from '../support/hub-process.ts';
import { hasSocat, PseudoTerminals } from '../support/pseudo-terminal.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const FRAMES = Number(process.env['HOLDFAST_SERIAL_FRAMES'] ?? 20_000);
const CYCLES = Number(process.env['HOLDFAST_SERIAL_CYCLES'] ?? 5);
/** What issue 5 promises. */
const REOPENED_MS_MAX = 5_000;

async function wire(t: TestContext, folder: string, name = 'port'): Promise<PseudoTerminals> {
  const terminals = new PseudoTerminals(join(folder, name), join(folder, `${name}-device`));
  await terminals.plugIn();
  afterTest(t, () => terminals.unplug());
  return terminals;
}

const bridgeOf = (given: object): Promise<SerialBridge> =>
  createSerialBridge(serialSpec.options.parse(given));

interface Sink {
  connections: number;
  readonly payloads: string[];
  readonly bad: Map<BadFrameReason, number>;
  readonly context: BridgeContext;
}

/** What a bridge hands over, without a hub around it. */
function collector(accept: () => Promise<void> = async () => {}): Sink {
  const payloads: string[] = [];
  const bad = new Map<BadFrameReason, number>();
  const sink = { connections: 0, payloads, bad };
  const context: BridgeContext = {
    id: 'pico',
    clock: systemClock(),
    random: Math.random,
    logger: pino({ level: 'silent' }),
    connected: () => void sink.connections++,
    describe() {},
    loadState: async () => new Map(),
    badFrames: (reason, count) => void bad.set(reason, (bad.get(reason) ?? 0) + count),
    async accept({ payload }) {
      payloads.push(payload.toString());
      await accept();
    },
  };
  return Object.assign(sink, { context });
}

test(`serial: ${FRAMES} frames at full speed, 1 % with bit errors: every good one once, bad ones counted`, async (t) => {
  if (!hasSocat(t)) return;
  const seed = chooseSeed();
  t.diagnostic(`HOLDFAST_SEED=${seed}`);
  const random = seededRandom(seed);
  const terminals = await wire(t, await temporaryFolder(t));
  const framing = { framing: 'cobs', checksum: 'crc32' } as const;
  const bridge = await bridgeOf({ port: terminals.port, ...framing });
  const sink = collector();
  const { payloads, bad, context } = sink;
  const stop = new AbortController();
  const running = bridge.run(context, stop.signal);
  await until('the port is open', () => sink.connections > 0);
  const framer = createFramer({ ...framing, frame_bytes_max: 4_096 });
  const good: string[] = [];
  const damaged = new Set<string>();
  const end = Buffer.from([0]); // closes what a bit error has opened
  let sent = 0;
  const startCpu = process.cpuUsage();
  const startMs = performance.now();
  while (sent < FRAMES) {
    const chunks: Buffer[] = [];
    for (let i = 0; i < 500 && sent < FRAMES; i++, sent++) {
      const body = `{"n":${sent},"t":${(random() * 40).toFixed(2)}}`;
      const frame = Buffer.from(framer.encode(Buffer.from(body)));
      if (random() >= 0.01) good.push(body);
      else {
        damaged.add(body);
        const bit = Math.floor(random() * (frame.length - 2) * 8); // its delimiters stay
        const byte = 1 + (bit >> 3);
        frame[byte] = (frame[byte] ?? 0) ^ (1 << (bit & 7));
      }
      chunks.push(frame);
    }
    const bytes = Buffer.concat(chunks);
    for (let at = 0; at < bytes.length; ) {
      const length = 1 + Math.floor(random() * 8_000);
      await terminals.write(bytes.subarray(at, at + length));
      at += length;
    }
    const ahead = sent;
    await until('it keeps up', () => payloads.length + damaged.size > ahead - 5_000);
  }
  await terminals.write(end);
  await until('all have come', () => payloads.length >= good.length, 20_000);
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(startCpu);
  stop.abort();
  await running;
  assert.equal(payloads.length, good.length);
  const wrong = payloads.findIndex((payload, i) => payload !== good[i]);
  assert.equal(wrong, -1, `${payloads[wrong]} instead of ${good[wrong]}`);
  const counted = [...bad.values()].reduce((sum, count) => sum + count, 0);
  // an error that makes a zero byte parts a frame into two; one that leaves a byte alone is none
  assert.ok(counted >= damaged.size * 0.95 && counted <= damaged.size * 2, `${counted} counted`);
  const each = ((user + system) / FRAMES).toFixed(1);
  t.diagnostic(
    `${FRAMES} frames in ${seconds.toFixed(1)} s, ${damaged.size} damaged, ${counted} counted as ` +
      `${JSON.stringify(Object.fromEntries(bad))}; ${each} µs of CPU a frame, sender and test included`,
  );
});

async function payloadsIn(fixture: BrokerFixture): Promise<{ n: number[]; gaps: string[] }> {
  const n: number[] = [];
  const gaps: string[] = [];
  for (const event of await fixture.events()) {
    const payload = event.slice(event.indexOf(' ') + 1);
    if (event.startsWith('holdfast/bridge/pico ')) gaps.push(payload);
    else n.push(JSON.parse(payload).n);
  }
  return { n, gaps };
}

test(`serial: ${CYCLES} times unplugged and plugged in again, each time under another name`, async (t) => {
  if (!hasSocat(t)) return;
  const folder = await temporaryFolder(t);
  const fixture = await brokerFixture(t);
  const byId = join(folder, 'by-id');
  const bridge = await bridgeOf({ port: byId, checksum: 'crc16_ccitt' });
  const runner = new BridgeRunner({
    id: 'pico',
    type: 'serial',
    bridge,
    intake: fixture.intake,
    storage: fixture.log,
    clock: systemClock(),
    random: Math.random,
    logger: pino({ level: 'silent' }),
  });
  const framer = createFramer({ framing: 'lines', checksum: 'crc16_ccitt', frame_bytes_max: 256 });
  const line = (n: number) => framer.encode(Buffer.from(`{"n":${n}}`));
  afterTest(t, () => runner.stop());
  let sent = 0;
  let slowestMs = 0;
  for (let cycle = 0; cycle <= CYCLES; cycle++) {
    const terminals = await wire(t, folder, `ttyUSB${cycle}`);
    await symlink(terminals.port, byId);
    if (cycle === 0) runner.start();
    const pluggedMs = performance.now();
    await until('it is open again', () => runner.status().state === 'reading');
    slowestMs = Math.max(slowestMs, performance.now() - pluggedMs);
    for (let i = 0; i < 10; i++) await terminals.write(line(sent++));
    await until('all are in the log', async () => (await payloadsIn(fixture)).n.length === sent);
    await terminals.write(line(sent).subarray(0, 5)); // half a frame, and then the plug
    await unlink(byId);
    await terminals.unplug();
    await until('the loss is noticed', () => runner.status().state !== 'reading');
  }
  const { n, gaps } = await payloadsIn(fixture);
  assert.deepEqual(
    n,
    Array.from({ length: sent }, (_, i) => i),
    'each once and in order',
  );
  assert.equal(gaps.length, CYCLES, 'each gap is an event');
  for (const gap of gaps) {
    const { bridge: id, from, to, lengthMs, reason } = JSON.parse(gap);
    assert.equal(id, 'pico');
    assert.ok(Date.parse(to) - Date.parse(from) === lengthMs && lengthMs >= 0, gap);
    assert.match(reason, /by-id was unplugged or closed/);
  }
  assert.ok(slowestMs < REOPENED_MS_MAX, `${slowestMs} ms`);
  const partial = runner.badFrames().find(([reason]) => reason === 'partial')?.[1] ?? 0;
  assert.ok(partial > 0 && partial <= CYCLES + 1, `${partial} halves`);
  t.diagnostic(`open again after ${Math.round(slowestMs)} ms at most; ${partial} halves counted`);
});

test('serial: a full log stops the reading; memory is bounded, and nothing that was read is lost', async (t) => {
  if (!hasSocat(t)) return;
  const terminals = await wire(t, await temporaryFolder(t));
  let open = () => {};
  let gate: Promise<void> | undefined = new Promise((resolve) => {
    open = resolve;
  });
  const sink = collector(() => gate ?? Promise.resolve());
  const { payloads, context } = sink;
  const bridge = await bridgeOf({ port: terminals.port, checksum: 'crc16_ccitt' });
  const stop = new AbortController();
  const running = bridge.run(context, stop.signal);
  await until('the port is open', () => sink.connections > 0);
  const framer = createFramer({ framing: 'lines', checksum: 'crc16_ccitt', frame_bytes_max: 256 });
  const count = 20_000;
  const all = Buffer.concat(
    Array.from({ length: count }, (_, n) => framer.encode(Buffer.from(`{"n":${n}}`))),
  );
  let written = 0;
  let movedMs = performance.now();
  const writing = (async () => {
    for (let at = 0; at < all.length; at += 4_096) {
      const part = all.subarray(at, at + 4_096);
      await terminals.write(part);
      written += part.length;
      movedMs = performance.now();
    }
  })();
  await until('nothing moves any more', () => written > 0 && performance.now() >= movedMs + 300);
  assert.ok(written < all.length / 2, `${written} of ${all.length} bytes were taken`);
  assert.ok(payloads.length <= 2_500, `${payloads.length} wait`);
  const [held, heldAt] = [payloads.length, written];
  gate = undefined;
  open();
  await writing;
  await until('all have come', () => payloads.length === count);
  assert.deepEqual(
    payloads.map((payload) => JSON.parse(payload).n),
    Array.from({ length: count }, (_, n) => n),
  );
  stop.abort();
  await running;
  t.diagnostic(`${held} messages waited; the wire stood still after ${heldAt} of ${written} bytes`);
});

test('serial and modbus: a port that cannot be opened is named, with what to do', async (t) => {
  if (!hasSocat(t)) return;
  const folder = await temporaryFolder(t);
  const busy = await wire(t, folder, 'busy');
  await writeFile(join(folder, 'file'), 'x');
  const holder = await bridgeOf({ port: busy.port });
  const stop = new AbortController();
  const sink = collector();
  const holding = holder.run(sink.context, stop.signal);
  await until('it is held', () => sink.connections > 0);
  const noPort = /is no serial port: correct `port`, `ls \/dev\/serial\/by-id` shows all$/;
  for (const [path, problem] of [
    [busy.port, /is used by another program: `sudo fuser -v .*busy` shows which; stop it$/],
    [join(folder, 'file'), noPort],
    [folder, noPort],
    ['/dev/null', noPort],
    ['/dev/none', /there is no port \/dev\/none: is it plugged in\?/],
  ] as const) {
    const slaves = [{ unit: 1, device: 'd', registers: [{ metric: 'v', address: 0 }] }];
    const transport = { type: 'rtu', port: path };
    const meter = new ModbusBridge(modbusSpec.options.parse({ transport, slaves }));
    for (const bridge of [await bridgeOf({ port: path }), meter])
      await assert.rejects(bridge.run(collector().context, stop.signal), (error: Error) => {
        assert.ok(error instanceof HubError && error.code === 'BRIDGE_LOST');
        assert.ok(error.message.includes(path));
        assert.match(describeError(error), problem);
        assert.equal(error.retryAfterMs, 1_000);
        return true;
      });
  }
  stop.abort();
  await holding;
});

test('serial: a hub with a port: readings, commands with answers, kill -9', async (t) => {
  if (!hasSocat(t)) return;
  const folder = await temporaryFolder(t);
  const terminals = await wire(t, folder);
  const far = await httpFarSide(t);
  const bridge =
    `{ id: pico, type: serial, port: ${terminals.port}, topic: "site/{id}/n", ` +
    'checksum: crc16_ccitt, write: { expect: "^OK", timeout: 500 ms } }';
  const yaml = hubYaml(
    [`{ id: cloud, type: http, url: "${far.url}", batch: { linger_ms: 20 } }`],
    [`bridges: [${bridge}]`],
  );
  let hub = await runHub(t, folder, yaml);
  await hub.ready();
  const reading = async () => (await hub.status()).inputs.bridges[0]?.state === 'reading';
  await eventually('the port is open', reading);
  const framer = createFramer({ framing: 'lines', checksum: 'crc16_ccitt', frame_bytes_max: 256 });
  const line = (n: number) => framer.encode(Buffer.from(`{"id":"a","n":${n}}`));
  for (let n = 0; n < 50; n++) await terminals.write(line(n));
  await eventually('all are delivered', () => far.has('site/a/n', 49));

  const giving = carriedOut(hub, 'pico', { name: 'led', data: 'LED 1' });
  assert.equal((await terminals.read()).toString(), framer.encode(Buffer.from('LED 1')).toString());
  await terminals.write(framer.encode(Buffer.from('OK LED 1')));
  const done = await giving;
  assert.deepEqual([done.state, done.answer, done.via], ['done', 'OK LED 1', 'bridge:pico']);
  const silent = await carriedOut(hub, 'pico', { name: 'led', data: 'LED 0' });
  assert.equal(silent.state, 'failed');
  assert.match(silent.detail ?? '', /no frame that matches/);

  await hub.kill('SIGKILL');
  hub = await runHub(t, folder, yaml);
  await hub.ready();
  const kept = await commandNow(hub, 'pico', done.id);
  assert.equal(kept.state, 'done', 'known after the kill');
  await eventually('the port is open again', reading);
  for (let n = 50; n < 100; n++) await terminals.write(line(n));
  await eventually('all are delivered', () => far.has('site/a/n', 99));
  for (let n = 0; n < 100; n++) assert.ok(far.has('site/a/n', n), `${n} is missing`);

  await terminals.unplug();
  await eventually('the loss is noticed', async () => !(await reading()));
  const away = await giveCommand(hub, 'pico', { name: 'led', data: 'LED 1' });
  assert.equal(away.status, 503);
  assert.match(away.body.detail ?? '', /bridge `pico`.*Nothing was sent/);
  assert.equal(await hub.kill('SIGTERM'), 0);
});
