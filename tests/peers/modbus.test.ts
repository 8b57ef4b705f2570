/**
 * The modbus bridge against slaves that libmodbus makes (modbus-slave.c), over TCP and over RTU on
 * a pair of pseudo-terminals: what it says on the wire is understood by somebody else, and what
 * goes wrong on a real bus does not cost a value, the other slaves, or the truth.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { afterTest } from '../support/after-test.ts';
import { hasModbusPeer, ModbusBench } from '../support/modbus-peer.ts';
import { ModbusSession } from '../support/modbus-session.ts';
import { until } from '../support/until.ts';

const REGISTERS = [
  { metric: 'first', address: 0 },
  { metric: 'second', address: 1 },
  { metric: 'energy', address: 10, type: 'uint32', scale: 0.01, unit: 'kWh' },
  { metric: 'low', address: 14, type: 'int16', invalid: '0x8000' },
  { metric: 'name', address: 20, type: 'string', length: 3 },
  { metric: 'setpoint', address: 30, scale: 0.5, writable: true, min: 0, max: 50 },
  { metric: 'level', address: 40, type: 'float32', word_order: 'little', writable: true },
  { metric: 'relay', address: 3, kind: 'coil', writable: true },
  { metric: 'door', address: 5, kind: 'discrete' },
  { metric: 'flow', address: 7, kind: 'input', type: 'int16', scale: 0.1 },
];

interface Setting {
  readonly units?: number;
  readonly interval?: string;
  readonly timeout?: string;
  readonly registers?: readonly object[];
  readonly slave?: object;
}

const slavesOf = ({ units = 1, registers = REGISTERS, slave = {} }: Setting) =>
  Array.from({ length: units }, (_, i) => {
    return { unit: i + 1, device: `d${i + 1}`, registers, ...slave };
  });

const optionsOf = (transport: object, setting: Setting) => ({
  transport,
  interval: setting.interval ?? '50 ms',
  timeout: setting.timeout ?? '200 ms',
  slaves: slavesOf(setting),
});

async function onLine(t: TestContext, setting: Setting = {}) {
  const bench = await ModbusBench.make(t);
  await bench.plug();
  const peer = await bench.slaveOnLine(t, setting.units ?? 1);
  const transport = { type: 'rtu', port: bench.port, baud_rate: 115200 };
  const session = new ModbusSession(optionsOf(transport, setting));
  afterTest(t, () => session.stop());
  return { bench, peer, session };
}

async function overTcp(t: TestContext, setting: Setting = {}) {
  const bench = await ModbusBench.make(t);
  const { peer, port } = await bench.slaveOverTcp(t, setting.units ?? 1);
  const session = new ModbusSession(optionsOf({ type: 'tcp', host: '127.0.0.1', port }, setting));
  afterTest(t, () => session.stop());
  return { bench, peer, port, session };
}

for (const [name, begin] of [
  ['RTU', onLine],
  ['TCP', overTcp],
] as const)
  test(`${name}: reads every type and writes by command`, async (t) => {
    if (!hasModbusPeer(t)) return;
    const { peer, session } = await begin(t, {});
    const settings = ['h 10 1', 'h 11 57920', 'h 14 32768', 'h 20 18511', 'h 21 19524', 'h 22 0'];
    for (const one of [...settings, 'd 5 1', 'i 7 65526']) await peer.tell(`set 1 ${one}`);
    session.start();
    const values = await session.next('d1');
    const { time, level, ...others } = values;
    assert.ok(Math.abs(Number(time ?? Date.now()) - Date.now()) < 5_000);
    assert.equal(typeof level, 'number');
    // 65 is above the `max` of `setpoint`: left out, as `low` is, which says "not available"
    assert.deepEqual(others, {
      ...{ first: 100, second: 101, energy: 1234.56, name: 'HOLD' },
      ...{ relay: false, door: true, flow: -1 },
    });

    assert.deepEqual(await session.command('d1', 'setpoint', '21.5'), { state: 'done' });
    assert.equal(await peer.tell('get 1 h 30'), '43');
    assert.deepEqual(await session.command('d1', 'level', '{"value": 1.5}'), { state: 'done' });
    assert.equal(await peer.tell('get 1 h 41'), String(0x3fc0));
    assert.deepEqual(await session.command('d1', 'relay', 'true'), { state: 'done' });
    assert.equal(await peer.tell('get 1 c 3'), '1');
    const after = await session.next('d1', ({ relay }) => relay === true);
    assert.deepEqual([after['setpoint'], after['level']], [21.5, 1.5]);

    const refused = await session.command('d1', 'setpoint', '50.5');
    assert.equal(refused.state, 'failed');
    assert.match(JSON.stringify(refused), /allowed are 0 to 50/);
    assert.equal(await peer.tell('get 1 h 30'), '43');
  });

test('an address that the slave lacks costs only its own value, and is named', async (t) => {
  if (!hasModbusPeer(t)) return;
  const registers = [
    { metric: 'last', address: 999 },
    { metric: 'beyond', address: 1001 },
    { metric: 'first', address: 0 },
  ];
  const { session } = await overTcp(t, { registers });
  session.start();
  const { last, first } = await session.next('d1', (values) => 'last' in values);
  assert.deepEqual([last, first], [199, 100]);
  await until('the detail', () => /beyond/.test(session.detail ?? ''));
  assert.match(session.detail ?? '', /d1 \(unit 1\), beyond, holding 1001.*no such address/);
});

test('a slave that is busy is asked again, and is not silent', async (t) => {
  if (!hasModbusPeer(t)) return;
  const { peer, session } = await onLine(t, {});
  session.start();
  await session.next('d1');
  await peer.tell('busy 1 1');
  await until('the detail', () => /busy/.test(session.detail ?? ''));
  await peer.tell('busy 1 0');
  await session.next('d1');
  await until('it is not busy', () => !/busy/.test(session.detail ?? ''));
  assert.deepEqual(session.gaps(), []);
});

test('RTU: damaged answers and noise cost no cycle and give no wrong value', async (t) => {
  if (!hasModbusPeer(t)) return;
  const registers = [{ metric: 'first', address: 0 }];
  const { peer, session } = await onLine(t, { registers });
  session.start();
  await session.next('d1');
  for (let round = 0; round < 5; round++) {
    await peer.tell('noise 2');
    await peer.tell('damage 1');
    await until('the damage is seen', () => session.bad > round);
    await session.next('d1');
  }
  assert.ok(session.bad >= 5, `${session.bad} were counted`);
  assert.ok(session.of('d1').every(({ values }) => values['first'] === 100));
});

test('RTU: an answer that comes too late is never the answer to the next request', async (t) => {
  if (!hasModbusPeer(t)) return;
  // two groups of the same shape at two places: their answers look alike
  const registers = [
    { metric: 'first', address: 1, interval: '30 ms' },
    { metric: 'second', address: 2, interval: '40 ms' },
  ];
  const { peer, session } = await onLine(t, { registers, timeout: '60 ms', units: 2 });
  session.start();
  await session.next('d1');
  for (const lateMs of [70, 90, 110, 130, 200]) {
    const asked = async () => Number(await peer.tell('requests'));
    await peer.tell(`delay 1 ${lateMs}`);
    const before = await asked();
    await until('some are answered late', async () => (await asked()) >= before + 4);
    await peer.tell('delay 1 0');
    await session.next('d1', (values) => 'first' in values);
    await session.next('d1', (values) => 'second' in values);
  }
  for (const { topic, values } of session.messages) {
    const base = topic === 'modbus/d1' ? 100 : 200;
    if ('first' in values) assert.equal(values['first'], base + 1);
    if ('second' in values) assert.equal(values['second'], base + 2);
  }
  assert.ok(session.of('d1').length > 10);
});

for (const [name, begin] of [
  ['RTU', onLine],
  ['TCP', overTcp],
] as const)
  test(`${name}: a slave that goes and comes back is a gap, told when it is over`, async (t) => {
    if (!hasModbusPeer(t)) return;
    const { peer, session } = await begin(t, { units: 2, timeout: '100 ms' });
    session.start();
    await session.next('d1');
    await peer.tell('mute 1 1');
    await until('the detail', () => /1 of 2 slaves are silent; d1/.test(session.detail ?? ''));
    await session.next('d2');
    await peer.tell('mute 1 0');
    await session.next('d1');
    await until('the gap', () => session.gaps().length === 1);
    const [gap] = session.gaps();
    assert.equal(gap?.topic, 'holdfast/bridge/bus');
    assert.equal(gap?.values['device'], 'd1');
    assert.ok(Number(gap?.values['lengthMs']) >= 100);
    assert.match(String(gap?.values['reason']), /no answer in 100 ms/);
    await until('nothing to say', () => !/silent/.test(session.detail ?? ''));
  });

test('RTU: an adapter that is unplugged is opened again, and the gap recorded', async (t) => {
  if (!hasModbusPeer(t)) return;
  const { bench, peer, session } = await onLine(t, {});
  session.start();
  await session.next('d1');
  await peer.kill();
  await bench.unplug();
  await until('the loss', () => session.losses.some((text) => text.includes(bench.port)));
  await bench.plug();
  await bench.slaveOnLine(t, 1);
  await session.next('d1');
  await until('the gap', () => session.gaps().length === 1);
  assert.match(session.losses.join('\n'), /opened again by itself|there is no port/);
});

test('TCP: a device that restarts is connected again, and the gap recorded', async (t) => {
  if (!hasModbusPeer(t)) return;
  const { bench, peer, port, session } = await overTcp(t, {});
  session.start();
  await session.next('d1');
  await peer.kill();
  await until('the loss', () => session.losses.length > 1);
  await bench.slaveOverTcp(t, 1, port);
  await session.next('d1');
  await until('the gap', () => session.gaps().length === 1);
  assert.match(session.losses.join('\n'), new RegExp(`127.0.0.1:${port}.*check that the device`));
});

test('RTU: of 20 slaves 3 are dead, and the others keep their interval', async (t) => {
  if (!hasModbusPeer(t)) return;
  const registers = [
    { metric: 'first', address: 0 },
    { metric: 'second', address: 50 },
  ];
  const setting = { units: 20, registers, interval: '500 ms', timeout: '150 ms' };
  const { peer, session } = await onLine(t, setting);
  for (const dead of [3, 9, 20]) await peer.tell(`mute ${dead} 1`);
  session.start();
  await until('they are silent', () => /3 of 20 slaves/.test(session.detail ?? ''));
  session.messages.length = 0;
  const requestsBefore = Number(await peer.tell('requests'));
  const startedMs = performance.now();
  const { user: userBefore, system: systemBefore } = process.cpuUsage();
  const alive = Array.from({ length: 20 }, (_, i) => i + 1).filter((n) => ![3, 9, 20].includes(n));
  const readings = 10;
  await until('each has some', () => alive.every((n) => session.of(`d${n}`).length >= readings));
  const { user, system } = process.cpuUsage();
  const spentMs = performance.now() - startedMs;
  const polls = Number(await peer.tell('requests')) - requestsBefore;
  // asked every time, three silent slaves alone would leave the others 0.7 of their readings
  assert.ok(spentMs <= (readings * 500) / 0.8, `${readings} readings in ${spentMs} ms`);
  const gaps = alive.map((n) => {
    const times = session.of(`d${n}`).map(({ atMs }) => atMs);
    return Math.max(...times.slice(1).map((at, i) => at - (times[i] ?? at)));
  });
  const perPollMs = (user + system - userBefore - systemBefore) / 1000 / polls;
  t.diagnostic(
    `${polls} requests, longest time between two readings ${Math.max(...gaps).toFixed(0)} ms`,
  );
  t.diagnostic(`CPU per request ${perPollMs.toFixed(3)} ms`);
});
