import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { ModbusBridge } from '../../firmware-bridge/modbus/modbus.ts';
import { modbusSpec } from '../../firmware-bridge/modbus/spec.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { parsed, problemsOf } from '../config/problems-of.ts';
import { bridgeContract } from '../contract/bridge.ts';
import { afterTest } from '../support/after-test.ts';
import { ModbusSession } from '../support/modbus-session.ts';
import { ROOT } from '../support/repository.ts';
import { type Manners, ScriptedSlave } from '../support/scripted-slave.ts';
import { until } from '../support/until.ts';

const FIRST = [{ metric: 'first', address: 1 }];

const optionsOf = (slave: ScriptedSlave, given: object = {}) => ({
  transport: slave.transport,
  interval: '20 ms',
  timeout: '100 ms',
  slaves: [{ unit: 1, device: 'd1', registers: FIRST }],
  ...given,
});

for (const kind of ['tcp', 'rtu_over_tcp'] as const)
  bridgeContract(`modbus over ${kind}`, {
    start: async () => {
      const slave = await ScriptedSlave.start(kind);
      const bridge = new ModbusBridge(modbusSpec.options.parse(optionsOf(slave)));
      return {
        bridge,
        loseHardware: async () => slave.cut(),
        stop: () => slave.stop(),
      };
    },
    periodMs: 30,
    hasHardware: true,
    unacceptedMax: 1,
  });

async function begin(t: TestContext, kind: 'tcp' | 'rtu_over_tcp', given: object = {}) {
  const slave = await ScriptedSlave.start(kind);
  const session = new ModbusSession(optionsOf(slave, given));
  afterTest(t, async () => {
    await session.stop();
    await slave.stop();
  });
  session.start();
  await session.next('d1');
  return { slave, session };
}

const TWO_ALIKE = {
  slaves: [
    {
      ...{ unit: 1, device: 'd1', timeout: '200 ms' },
      registers: [
        { metric: 'first', address: 1, interval: '20 ms' },
        { metric: 'second', address: 2, interval: '30 ms' },
      ],
    },
  ],
};

describe('what waits for timeouts', { concurrency: true }, () => {
  for (const echo of ['answers', 'refuses', 'ignores'] as const)
    test(`a late answer is not the next one, of a slave that ${echo} function 8`, async (t) => {
      const { slave, session } = await begin(t, 'rtu_over_tcp', TWO_ALIKE);
      for (const delayMs of [225, 375]) {
        slave.manners = { echo, delayMs };
        const { requests } = slave;
        await until('two more are answered late', () => slave.requests >= requests + 2);
        slave.manners = { echo };
        await session.next('d1', (values) => 'first' in values);
        await session.next('d1', (values) => 'second' in values);
      }
      for (const { values } of session.of('d1')) {
        if ('first' in values) assert.equal(values['first'], 1001);
        if ('second' in values) assert.equal(values['second'], 1002);
      }
    });

  test('an answer of TCP with another number or of another unit is no answer', async (t) => {
    const { slave, session } = await begin(t, 'tcp');
    for (const [at, value] of [
      [1, 0xee],
      [6, 2],
    ] as const) {
      const spoil = (frame: Buffer) => {
        const other = Buffer.from(frame);
        other[at] = value;
        other.fill(0x77, 9);
        return other;
      };
      slave.manners = { spoil };
      const { requests } = slave;
      await until('two more are asked', () => slave.requests >= requests + 2);
      slave.manners = {};
      await session.next('d1');
    }
    assert.ok(session.of('d1').every(({ values }) => values['first'] === 1001));
  });

  test('a TCP device that falls silent is connected anew, and the time is one gap', async (t) => {
    const { slave, session } = await begin(t, 'tcp', { timeout: '20 ms' });
    slave.manners = { muted: true };
    await until('the loss', () => session.losses.some((text) => /no slave answered/.test(text)));
    slave.manners = {};
    await session.next('d1');
    await until('the gap', () => session.gaps().length === 1);
    assert.equal(session.connections >= 2, true);
  });
});

test('late answers are counted where people look for the cause', async (t) => {
  const { slave, session } = await begin(t, 'tcp');
  slave.manners = { delayMs: 130 };
  await until('the detail', () => /came after their `timeout`/.test(session.detail ?? ''));
});

test('a device that closes the idle connection was not away', async (t) => {
  const { slave, session } = await begin(t, 'tcp', { interval: '1 h' });
  slave.cut();
  await until('it is read anew', () => session.of('d1').length === 2);
  assert.equal(session.connections, 2);
  assert.deepEqual(session.gaps(), []);
});

const DAMAGES: readonly (readonly [string, Manners])[] = [
  ['noise before it', { noise: Buffer.from('ff0103ff0102', 'hex') }],
  ['a frame of another slave before it', { noise: Buffer.from('0203020bb83f32', 'hex') }],
  ['the request before it, from an adapter that hears itself', { hearsItself: true }],
];
for (const [what, manners] of DAMAGES)
  test(`an answer is found with ${what}`, async (t) => {
    const { slave, session } = await begin(t, 'rtu_over_tcp');
    slave.manners = manners;
    const count = session.of('d1').length;
    await until('five more', () => session.of('d1').length >= count + 5);
    assert.equal(session.bad, 0);
    assert.ok(session.of('d1').every(({ values }) => values['first'] === 1001));
  });

const WRITABLE = {
  slaves: [
    {
      ...{ unit: 1, device: 'd1' },
      registers: [...FIRST, { metric: 'set', address: 9, scale: 0.1, writable: true }],
    },
  ],
};

test('a write that only the adapter repeats is not taken for done', async (t) => {
  const { slave, session } = await begin(t, 'rtu_over_tcp', WRITABLE);
  slave.manners = { hearsItself: true };
  await session.next('d1');
  slave.manners = { hearsItself: true, muted: true };
  const outcome = await session.command('d1', 'set', '2.5');
  assert.equal(outcome.state, 'failed');
  assert.match(JSON.stringify(outcome), /written/);
});

test('an adapter that hears itself does not hide the answer to a write, which looks the same', async (t) => {
  const { slave, session } = await begin(t, 'rtu_over_tcp', WRITABLE);
  slave.manners = { hearsItself: true, delayMs: 20 };
  await session.next('d1');
  assert.deepEqual(await session.command('d1', 'set', '2.5'), { state: 'done' });
});

test('a write ends with its time to live, and is not sent after it, however slow the slave is', async (t) => {
  const slow = { ...WRITABLE, timeout: '30 s', interval: '1 h' };
  const { slave, session } = await begin(t, 'rtu_over_tcp', slow);
  slave.manners = { muted: true };
  const order = { id: 'c', device: 'd1', name: 'set', payload: Buffer.from('2.5') };
  const carryOut = () =>
    session.bridge.commands.carryOut(order, () => {}, AbortSignal.timeout(100));
  const sent = await carryOut();
  assert.match(JSON.stringify(sent), /`set` at holding 9: no answer before .* written or not/);
  const waiting = await carryOut();
  assert.match(JSON.stringify(waiting), /nothing was written/);
  assert.equal(slave.writes.length, 1);
});

test('a write is sent once, and says so when nobody knows what became of it', async (t) => {
  const { slave, session } = await begin(t, 'tcp', WRITABLE);
  assert.deepEqual(await session.command('d1', 'set', '2.5'), { state: 'done' });
  assert.deepEqual(slave.writes, [Buffer.from('010600090019', 'hex')]);
  slave.manners = { muted: true };
  const lost = await session.command('d1', 'set', '2.6');
  assert.match(JSON.stringify(lost), /d1 \(unit 1\).*`set` at holding 9.*written or not/);
  assert.equal(slave.writes.length, 2);
});

test('a write that is refused says why; an unknown name says what there is', async (t) => {
  const { slave, session } = await begin(t, 'tcp', WRITABLE);
  slave.manners = { exception: 3 };
  const refused = await session.command('d1', 'set', '2.5');
  assert.match(JSON.stringify(refused), /exception 3: it refuses the value/);
  const unknown = await session.command('d1', 'sett', '2.5');
  assert.match(JSON.stringify(unknown), /no register `sett`; it has `set`/);
  assert.equal(session.bridge.commands.owns('d1', 'bus'), true);
  assert.equal(session.bridge.commands.owns('d2', 'bus'), false);
});

test('what is no Modbus TCP ends the connection, with a hint', async (t) => {
  const { slave, session } = await begin(t, 'tcp');
  slave.manners = { spoil: () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') };
  await until('the loss', () => session.losses.length > 0);
  assert.match(session.losses.join(), /no Modbus TCP; for a device server use rtu_over_tcp/);
  slave.manners = {};
  await session.next('d1');
});

test('a gateway that says its slave is silent tells of that slave only', async (t) => {
  const { slave, session } = await begin(t, 'tcp');
  slave.manners = { exception: 11 };
  await until('the detail', () => /1 of 1 slaves are silent/.test(session.detail ?? ''));
  assert.match(session.detail ?? '', /d1 \(unit 1\).*gateway got no answer/);
});

test('while the log is full nothing is asked, and what was missed is counted', async (t) => {
  const startedMs = performance.now();
  const { slave, session } = await begin(t, 'tcp');
  let open = () => {};
  session.gate = () => new Promise((resolve) => (open = resolve));
  const { messages } = session;
  const before = messages.length;
  await until('one waits', () => messages.length > before);
  const { requests } = slave;
  const fullMs = performance.now();
  await until('ten intervals are over', () => performance.now() >= fullMs + 200);
  assert.equal(slave.requests, requests);
  assert.equal(messages.length, before + 1);
  session.gate = async () => {};
  open();
  const missed = () => Number(/(\d+) cycles missed/.exec(session.detail ?? '')?.[1] ?? 0);
  await until('the detail', () => missed() >= 8);
  const most = (performance.now() - startedMs) / 20 + 1;
  assert.ok(missed() <= most, `${missed()} of ${most}`);
});

test('a merged read that is refused is read apart from then on', async (t) => {
  const registers = [0, 2, 3, 9].map((address) => ({ metric: `m${address}`, address }));
  const { slave, session } = await begin(t, 'tcp', {
    slaves: [{ unit: 1, device: 'd1', registers, reads: { gap_max: 20 } }],
  });
  assert.equal(Object.keys(session.of('d1')[0]?.values ?? {}).length >= 4, true);
  const refuseLong = (frame: Buffer) =>
    (frame[8] ?? 0) <= 4 ? frame : Buffer.from([...frame.subarray(0, 5), 3, 1, 0x83, 2]);
  slave.manners = { spoil: refuseLong };
  const values = await session.next('d1', ({ m0, m9 }) => m0 === 1000 && m9 === 1009);
  assert.deepEqual([values['m2'], values['m3']], [1002, 1003]);
  await until('nothing to say', () => !/exception/.test(session.detail ?? ''));
});

test('noise without an end is told as noise, and not as a part of an answer', async (t) => {
  const { slave, session } = await begin(t, 'rtu_over_tcp');
  slave.manners = { noise: Buffer.alloc(40, 0xff), spoil: () => Buffer.alloc(40, 0xff) };
  await until('the detail', () => /bytes came that are no answer/.test(session.detail ?? ''));
  assert.match(session.detail ?? '', /d1 \(unit 1\): .*check `baud_rate`, `parity` and wiring/);
});

test('errors of the line name it and say what to do', async (t) => {
  const slaves = [{ unit: 1, device: 'd1', registers: FIRST }];
  for (const [transport, pattern] of [
    [
      { type: 'rtu', port: '/dev/there-is-none' },
      /there is no port \/dev\/there-is-none: is it plugged in\?/,
    ],
    [{ type: 'tcp', host: '127.0.0.1', port: 1 }, /127.0.0.1:1: .*ECONNREFUSED.*check that/],
  ] as const) {
    const session = new ModbusSession({ transport, slaves });
    afterTest(t, () => session.stop());
    session.start();
    await until('the loss', () => session.losses.length > 0);
    assert.match(session.losses[0] ?? '', pattern);
  }
});

test('the hub decodes the messages with device, metric and unit, without a rule', () => {
  const slaves = [
    { unit: 1, device: 'd1', registers: [{ metric: 'voltage', address: 0, unit: 'V' }] },
  ];
  const transport = { type: 'tcp', host: 'x' };
  const options = modbusSpec.options.parse({ transport, slaves, topic: 'plant/{device}/modbus' });
  const decode = createDecoder(modbusSpec.decode(options));
  const timeMs = Date.now();
  const { readings } = decode({
    ...{ lane: 'normal', offset: 0, kind: 'message', source: 'bridge:x', bootId: 'b' },
    ...{ topic: 'plant/d1/modbus', payload: Buffer.from(`{"time":${timeMs},"voltage":230.1}`) },
    ...{ receivedMs: timeMs + 5, timeQuality: 'synced', monotonicMs: 1 },
  });
  assert.deepEqual(
    readings.map(({ device, metric, value, unit }) => ({ device, metric, value, unit })),
    [{ device: 'd1', metric: 'voltage', value: 230.1, unit: 'V' }],
  );
});

test('the example of the README is valid', () => {
  const readme = readFileSync(join(ROOT, 'firmware-bridge/modbus/README.md'), 'utf8');
  const example = /```yaml\n(.*?)```/s.exec(readme)?.[1] ?? '';
  assert.deepEqual(problemsOf(`hub: { id: h }\n${example}`), []);
  assert.equal(parsed(`hub: { id: h }\n${example}`).bridges.length, 1);
});
