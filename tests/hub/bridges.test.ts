import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { systemClock } from '../../hub/clock/system-clock.ts';
import type { Bridge, BridgeContext } from '../../hub/core/bridge.ts';
import { HubError } from '../../hub/core/errors.ts';
import { BridgeRunner, type BridgeRunnerOptions } from '../../hub/intake/bridges.ts';
import { afterTest } from '../support/after-test.ts';
import { type BrokerFixture, brokerFixture } from '../support/broker-fixture.ts';
import { until } from '../support/until.ts';

async function runner(
  t: TestContext,
  run: Bridge['run'],
  given: Partial<Pick<BridgeRunnerOptions, 'clock' | 'logger'>> = {},
) {
  const fixture = await brokerFixture(t);
  const bridge = new BridgeRunner({
    id: 'one',
    type: 'test',
    bridge: { run },
    intake: fixture.intake,
    storage: fixture.log,
    clock: systemClock(),
    random: () => 0,
    logger: pino({ level: 'silent' }),
    ...given,
  });
  afterTest(t, () => bridge.stop());
  return { fixture, bridge };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
}

async function sources({ log }: BrokerFixture): Promise<string[]> {
  const blocks = await log.read('normal', 0, 1024 * 1024);
  return blocks.flatMap((block) =>
    Array.from({ length: block.count }, (_, i) => block.eventAt(i).source),
  );
}

test('what a bridge hands over is durable when its promise resolves', async (t) => {
  let accepted = false;
  const { fixture, bridge } = await runner(t, async (context, signal) => {
    context.connected();
    await context.accept({ topic: 't', payload: Buffer.from('x') });
    accepted = true;
    await untilAborted(signal);
  });
  fixture.storage.hold();
  bridge.start();
  await until('the write is under way', () => fixture.storage.waiting > 0);
  assert.equal(accepted, false);
  assert.equal(bridge.status().state, 'reading');
  fixture.storage.letGo();
  await until('it is accepted', () => accepted);
  assert.deepEqual(await sources(fixture), ['bridge:one']);
  await bridge.stop();
  assert.deepEqual(bridge.status(), { id: 'one', type: 'test', state: 'stopped' });
});

test('what a bridge remembers is in one write with its message, and only its own is given back', async (t) => {
  let found: ReadonlyMap<string, unknown> = new Map();
  let tooLarge: unknown;
  const { fixture, bridge } = await runner(t, async (context, signal) => {
    const message = { topic: 't', payload: Buffer.from('x') };
    const gone = { key: 'slot/2', value: undefined };
    await context.accept(message, [{ key: 'slot/2', value: 2 }]);
    await context.accept(message, [{ key: 'slot/1', value: { n: 1 } }, gone]);
    await context.accept(message, [{ key: 'other', value: 3 }]);
    found = await context.loadState('slot/');
    const large = [{ key: 'slot/3', value: 'x'.repeat(2_000) }];
    tooLarge = await context.accept(message, large).catch((error: unknown) => error);
    await untilAborted(signal);
  });
  bridge.start();
  await until('all is answered', () => tooLarge !== undefined);
  assert.deepEqual([...found], [['slot/1', { n: 1 }]]);
  assert.ok(tooLarge instanceof RangeError);
  assert.equal((await sources(fixture)).length, 3);
});

test('what is wrong beside the reading is told apart from what is only good to know', async (t) => {
  let describe: BridgeContext['describe'] = () => {};
  const { bridge } = await runner(t, async (context, signal) => {
    context.connected();
    describe = context.describe;
    await untilAborted(signal);
  });
  bridge.start();
  await until('it reads', () => bridge.status().state === 'reading');
  const reading = { id: 'one', type: 'test', state: 'reading' };
  describe('a sensor is silent');
  const told = { ...reading, detail: 'a sensor is silent' };
  assert.deepEqual(bridge.status(), { ...told, degraded: true });
  describe('a sensor is silent', 'note');
  assert.deepEqual(bridge.status(), told);
  describe(undefined);
  assert.deepEqual(bridge.status(), reading);
});

test('a bridge that loses its hardware is run again, and its state tells why', async (t) => {
  let runs = 0;
  let signalOfBridge: AbortSignal | undefined;
  const { bridge } = await runner(t, async (context, signal) => {
    signalOfBridge = signal;
    if (++runs < 3) throw new HubError('BRIDGE_LOST', `unplugged ${runs}`);
    context.connected();
    await untilAborted(signal);
  });
  bridge.start();
  await until('it waits', () => bridge.status().state === 'backoff');
  assert.equal(bridge.status().detail, 'unplugged 1');
  await until('it reads again', () => bridge.status().state === 'reading');
  assert.equal(bridge.status().detail, undefined);
  assert.equal(runs, 3);
  assert.ok(signalOfBridge);
  assert.equal(getEventListeners(signalOfBridge, 'abort').length, 1, 'only that of the bridge');
});

test('a loose plug is told once a minute, with how often it was', async (t) => {
  const lines: string[] = [];
  const logger = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  let nowMs = 0;
  const clock = { ...systemClock(), monotonicMs: () => nowMs };
  let runs = 0;
  const flapping: Bridge['run'] = async (context) => {
    context.connected();
    runs++;
    throw new HubError('BRIDGE_LOST', 'unplugged', { retryAfterMs: 1 });
  };
  const { bridge } = await runner(t, flapping, { logger, clock });
  bridge.start();
  await until('some runs', () => runs >= 5);
  assert.equal(lines.length, 1);
  nowMs += 60_000;
  await until('told again', () => lines.length === 2);
  assert.match(lines[1] ?? '', /unplugged.*and \d+ more like it before/);
});

test('a bridge that ends by itself is run again; stop ends the pause at once', async (t) => {
  let runs = 0;
  const { bridge } = await runner(t, async () => {
    runs++;
  });
  bridge.start();
  await until('it was run', () => bridge.status().state === 'backoff');
  const startMs = performance.now();
  await bridge.stop();
  assert.ok(performance.now() - startMs < 200);
  assert.equal(runs, 1);
  assert.equal(bridge.status().state, 'stopped');
});

test('a bridge that ignores the abort is left behind', async (t) => {
  const { bridge } = await runner(t, () => new Promise(() => {}));
  bridge.start();
  await bridge.stop();
  assert.equal(bridge.status().state, 'stopped');
});

test('a bridge that cannot be started is no reason to fail', async (t) => {
  const { bridge } = await runner(t, () => {
    throw new Error('thrown before the first await');
  });
  bridge.start();
  await until('it waits', () => bridge.status().state === 'backoff');
  assert.equal(bridge.status().detail, 'thrown before the first await');
});
