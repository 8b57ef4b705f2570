import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { systemClock } from '../../hub/clock/system-clock.ts';
import { Commands, type CommandTarget } from '../../hub/commands/commands.ts';
import type {
  Command,
  CommandOrder,
  CommandOutcome,
  CommandRequest,
} from '../../hub/core/command.ts';
import { afterTest } from '../support/after-test.ts';
import { type BrokerFixture, brokerFixture, inbox } from '../support/broker-fixture.ts';
import { payloadsOf, SOMEBODY } from '../support/operating.ts';
import { until } from '../support/until.ts';

/** A bridge that carries out what a test lets it. */
class Bridge implements CommandTarget {
  readonly id = 'bus';
  readonly orders: CommandOrder[] = [];
  readonly #ends: ((outcome: CommandOutcome) => void)[] = [];
  trouble: string | undefined;
  isKnown = true;
  running = 0;
  runningMost = 0;

  readonly taker: CommandTarget['taker'] = {
    owns: (device) => (this.isKnown ? device.startsWith('motor-') : undefined),
    carryOut: async (order, sent, signal) => {
      this.orders.push(order);
      this.runningMost = Math.max(this.runningMost, ++this.running);
      sent();
      const outcome = await new Promise<CommandOutcome>((resolve) => {
        this.#ends.push(resolve);
        const detail = 'no answer';
        signal.addEventListener('abort', () => resolve({ state: 'failed', detail }));
      });
      this.running--;
      return outcome;
    },
  };

  problem(): string | undefined {
    return this.trouble;
  }

  async end(outcome: CommandOutcome): Promise<void> {
    await until('it is carried out', () => this.#ends.length > 0);
    this.#ends.shift()?.(outcome);
  }
}

interface Started {
  readonly fixture: BrokerFixture;
  readonly bridge: Bridge;
  commands: Commands;
  /** Ends it without a word, as a power cut does, and starts anew on the same log. */
  restart(how: 'stopped' | 'cut'): Promise<void>;
}

async function start(t: TestContext, keptMax?: number, clock = systemClock()): Promise<Started> {
  const fixture = await brokerFixture(t);
  const bridge = new Bridge();
  const make = async () => {
    const commands = new Commands({
      log: fixture.log,
      broker: {
        publish: (topic, payload) => fixture.broker.publish(topic, payload),
        listen: (filter, listener) => fixture.broker.listen(filter, listener),
      },
      clock,
      logger: pino({ level: 'silent' }),
      targets: [bridge],
      knows: (device) => device === 'lamp',
      ...(keptMax !== undefined && { keptMax }),
    });
    await commands.load();
    commands.start();
    return commands;
  };
  const started: Started = {
    fixture,
    bridge,
    commands: await make(),
    async restart(how) {
      if (how === 'stopped') await started.commands.stop();
      await fixture.restart();
      started.commands = await make();
    },
  };
  afterTest(t, () => started.commands.stop());
  return started;
}

const wanted = (device: string, more: Partial<CommandRequest> = {}): CommandRequest => ({
  ...{ device, name: 'set', payload: Buffer.from('1'), ttlMs: 60_000 },
  ...more,
});

async function given(commands: Commands, request: CommandRequest): Promise<Command> {
  const answer = await commands.give(request, SOMEBODY);
  assert.ok(answer.kind === 'command', JSON.stringify(answer));
  return answer.command;
}

async function ended(commands: Commands, { device, id }: Command): Promise<Command> {
  await until('it has ended', () => commands.get(device, id)?.endedMs !== null);
  return commands.get(device, id) ?? assert.fail();
}

async function factsOf({ log }: BrokerFixture) {
  const facts = (await payloadsOf(log, 'command')).map((text) => JSON.parse(text));
  return facts.map(({ state }) => state);
}

test('a command is durable before it is answered and sent; its end is an event', async (t) => {
  const { fixture, bridge, commands } = await start(t);
  fixture.storage.hold();
  let answered = false;
  const giving = given(commands, wanted('motor-1')).then((command) => {
    answered = true;
    return command;
  });
  await until('the write is under way', () => fixture.storage.waiting > 0);
  assert.equal(answered, false);
  assert.deepEqual(bridge.orders, []);
  fixture.storage.letGo();
  const command = await giving;
  assert.deepEqual(
    [command.state, command.via, command.actor],
    ['accepted', 'bridge:bus', SOMEBODY],
  );
  await bridge.end({ state: 'done', answer: Buffer.from('OK') });
  const { state, answer, sentMs } = await ended(commands, command);
  assert.deepEqual([state, answer, sentMs !== null], ['done', 'OK', true]);
  await until('both are events', async () => (await factsOf(fixture)).length === 2);
  assert.deepEqual(await factsOf(fixture), ['accepted', 'done']);
  const [fact] = (await payloadsOf(fixture.log, 'command')).map((text) => JSON.parse(text));
  assert.deepEqual([fact.device, fact.data, fact.actor.name], ['motor-1', '1', 'pi@gateway']);
});

test('a bridge has one command at a time, in order, and so many wait at most', async (t) => {
  const { bridge, commands } = await start(t);
  const all: Command[] = [];
  for (let i = 0; i < 17; i++) {
    all.push(await given(commands, wanted('motor-1', { payload: Buffer.from(String(i)) })));
    if (i === 0) await until('the first is out', () => bridge.orders.length === 1);
  }
  const refused = await commands.give(wanted('motor-2'), SOMEBODY);
  assert.deepEqual(refused, { kind: 'too_many', waiting: 16 });
  for (const _ of all) await bridge.end({ state: 'sent' });
  for (const command of all) assert.equal((await ended(commands, command)).state, 'sent');
  assert.deepEqual(
    bridge.orders.map(({ payload }) => payload.toString()),
    all.map((_, i) => String(i)),
  );
  assert.equal(bridge.runningMost, 1);
});

test('an unknown device and a bridge without its hardware are refused, and nothing is kept', async (t) => {
  const { fixture, bridge, commands } = await start(t);
  assert.deepEqual(await commands.give(wanted('nobody'), SOMEBODY), { kind: 'no_device' });
  bridge.trouble = 'unplugged';
  const down = { kind: 'bridge_down', bridge: 'bus', detail: 'unplugged' };
  assert.deepEqual(await commands.give(wanted('motor-1'), SOMEBODY), down);
  assert.deepEqual(commands.list('motor-1'), []);
  assert.deepEqual(await factsOf(fixture), []);
});

test('while a bridge cannot say whose a device is, nothing goes another way', async (t) => {
  const { fixture, bridge, commands } = await start(t);
  bridge.isKnown = false;
  assert.deepEqual(await commands.give(wanted('lamp'), SOMEBODY), { kind: 'not_ready' });
  assert.deepEqual(await factsOf(fixture), []);
  bridge.isKnown = true;
  assert.equal((await given(commands, wanted('lamp'))).via, 'mqtt');
});

test('a command expires before its turn, and while an answer is waited for', async (t) => {
  const { bridge, commands } = await start(t);
  const first = await given(commands, wanted('motor-1', { ttlMs: 1_000 }));
  const second = await given(commands, wanted('motor-1', { ttlMs: 100 }));
  const [waited, queued] = [await ended(commands, first), await ended(commands, second)];
  assert.deepEqual([waited.state, waited.detail], ['expired', 'no answer']);
  assert.deepEqual([queued.state, queued.sentMs], ['expired', null]);
  assert.equal(bridge.orders.length, 1, 'the second was never sent');
});

for (const [how, jumpMs] of [
  ['forward', 86_400_000],
  ['back', -86_400_000],
] as const)
  test(`a wall clock that jumps ${how} neither ends a command nor keeps it`, async (t) => {
    let offsetMs = 0;
    const clock = { ...systemClock(), wallMs: () => Date.now() + offsetMs };
    const { bridge, commands } = await start(t, undefined, clock);
    const lasting = await given(commands, wanted('motor-1'));
    await until('it is out', () => bridge.orders.length === 1);
    const queued = await given(commands, wanted('motor-1', { ttlMs: 1_000 }));
    offsetMs = jumpMs;
    const soon = await given(commands, wanted('lamp', { ttlMs: 1_000 }));
    assert.equal((await ended(commands, soon)).state, 'sent');
    assert.equal(commands.get('motor-1', lasting.id)?.endedMs, null);
    assert.equal((await ended(commands, queued)).state, 'expired');
    await bridge.end({ state: 'done' });
    assert.equal((await ended(commands, lasting)).state, 'done');
  });

test('a command whose time is over before it is durable is not sent', async (t) => {
  const { fixture, bridge, commands } = await start(t);
  fixture.storage.hold();
  const giving = given(commands, wanted('motor-1', { ttlMs: 100 }));
  await until('the write is under way', () => fixture.storage.waiting > 0);
  await new Promise((resolve) => setTimeout(resolve, 150)); // longer than it may live
  fixture.storage.letGo();
  assert.equal((await giving).state, 'expired');
  assert.deepEqual(bridge.orders, []);
});

test('a command that is not durable yet when the hub stops is not sent', async (t) => {
  const { fixture, bridge, commands } = await start(t);
  fixture.storage.hold();
  const giving = given(commands, wanted('motor-1'));
  await until('the write is under way', () => fixture.storage.waiting > 0);
  const stopping = commands.stop();
  fixture.storage.letGo();
  const { state, detail } = await giving;
  assert.deepEqual([state, detail], ['failed', 'the hub was stopped before it was sent']);
  await stopping;
  assert.deepEqual(bridge.orders, []);
});

test('the same idempotency key is the same command, also after a restart', async (t) => {
  const started = await start(t);
  const request = wanted('motor-1', { idempotencyKey: 'k1' });
  const [first, second] = await Promise.all([
    started.commands.give(request, SOMEBODY),
    started.commands.give(request, SOMEBODY),
  ]);
  assert.ok(first?.kind === 'command' && second?.kind === 'command');
  assert.deepEqual([first.repeated, second.repeated], [false, true]);
  assert.equal(first.command.id, second.command.id);
  await started.bridge.end({ state: 'sent' });
  await ended(started.commands, first.command);
  await started.restart('stopped');
  const third = await started.commands.give(request, SOMEBODY);
  assert.ok(third.kind === 'command' && third.repeated);
  const other = { ...request, payload: Buffer.from('2') };
  const reused = await started.commands.give(other, SOMEBODY);
  assert.deepEqual(reused, { kind: 'key_reused', id: first.command.id });
  assert.equal(started.bridge.orders.length, 1);
});

for (const how of ['stopped', 'cut'] as const) {
  test(`what was under way when the hub was ${how} has failed, and is not sent again`, async (t) => {
    const started = await start(t);
    const command = await given(started.commands, wanted('motor-1'));
    await until('it is out', () => started.bridge.orders.length === 1);
    await started.restart(how);
    const { state, detail } = await ended(started.commands, command);
    assert.equal(state, 'failed');
    assert.match(detail ?? '', /stopped while it was under way/);
    assert.equal(started.bridge.orders.length, 1);
  });
}

test('over MQTT: published with QoS 1; a result ends it, an error fails it', async (t) => {
  const { fixture, commands } = await start(t);
  const lamp = await fixture.client();
  const received = inbox(lamp);
  await lamp.subscribeAsync('cmd/lamp/#', { qos: 1 });
  const first = await given(commands, wanted('lamp', { payload: Buffer.from('{"on":true}') }));
  await until('the lamp has it', () => received.includes('cmd/lamp/set {"on":true}'));
  await until('it is sent', () => commands.get('lamp', first.id)?.state === 'sent');
  assert.equal(commands.get('lamp', first.id)?.endedMs, null);
  await lamp.publishAsync('cmd/lamp/set/result', 'lit', { qos: 1 });
  const done = await ended(commands, first);
  assert.deepEqual([done.state, done.answer, done.via], ['done', 'lit', 'mqtt']);
  const second = await given(commands, wanted('lamp'));
  await until('it is sent', () => commands.get('lamp', second.id)?.state === 'sent');
  await lamp.publishAsync('cmd/lamp/set/result', '{"error":"burnt out"}', { qos: 1 });
  const failed = await ended(commands, second);
  assert.deepEqual([failed.state, failed.detail], ['failed', 'burnt out']);
  const third = await given(commands, wanted('lamp', { ttlMs: 1_000 }));
  const unanswered = await ended(commands, third);
  assert.equal(unanswered.state, 'sent', 'nobody has to answer');
});

test('over MQTT: an answer after a restart still ends its command', async (t) => {
  const started = await start(t);
  const command = await given(started.commands, wanted('lamp'));
  await until('it is sent', () => started.commands.get('lamp', command.id)?.state === 'sent');
  await started.restart('cut');
  assert.equal(started.commands.get('lamp', command.id)?.endedMs, null);
  const lamp = await started.fixture.client();
  await lamp.publishAsync('cmd/lamp/set/result', 'late', { qos: 1 });
  assert.equal((await ended(started.commands, command)).state, 'done');
});

test('only the last ones are kept, here and in the log; none that is open is forgotten', async (t) => {
  const started = await start(t, 3);
  const open = await given(started.commands, wanted('lamp'));
  const all: Command[] = [];
  for (let i = 0; i < 6; i++) {
    all.push(await given(started.commands, wanted('motor-1')));
    await started.bridge.end({ state: 'sent' });
    await ended(started.commands, all.at(-1) ?? open);
  }
  const kept = all.slice(-2).map(({ id }) => id);
  const listed = () => started.commands.list('motor-1').map(({ id }) => id);
  assert.deepEqual(listed(), kept.toReversed());
  await started.restart('stopped');
  assert.deepEqual(listed(), kept.toReversed());
  assert.ok(started.commands.get('lamp', open.id));
});
