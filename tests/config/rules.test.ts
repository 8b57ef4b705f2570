import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLoopback } from '../../config/rules.ts';
import { parsed, problemsOf } from './problems-of.ts';

const FILE_SINK = (id: string) => `  - {id: ${id}, type: file, path: ${id}}\n`;

describe('rules across keys', () => {
  it('an id names one sink, one bridge', () => {
    assert.deepEqual(problemsOf(`sinks:\n${FILE_SINK('a')}${FILE_SINK('b')}${FILE_SINK('a')}`), [
      '4:10  sinks[2].id — is the id of sinks[0] too; an id names one',
    ]);
    assert.deepEqual(
      problemsOf('bridges:\n  - {id: s, type: simulator}\n  - {type: simulator, id: s}\n'),
      ['3:27  bridges[1].id — is the id of bridges[0] too; an id names one'],
    );
    const both = parsed(`bridges: [{id: a, type: simulator}]\nsinks:\n${FILE_SINK('a')}`);
    assert.equal(both.sinks.length + both.bridges.length, 2);
  });

  it('one sink goes on from the place of a former one, which is configured no more', () => {
    const sink = (id: string, formerly: string) =>
      `  - {id: ${id}, type: file, path: ${id}, formerly: ${formerly}}\n`;
    assert.deepEqual(problemsOf(`sinks:\n${sink('a', 'b')}${FILE_SINK('b')}`), [
      '2:44  sinks[0].formerly — is the id of sinks[1], which has its place itself',
    ]);
    assert.deepEqual(problemsOf(`sinks:\n${sink('a', 'a')}`), [
      '2:44  sinks[0].formerly — is the id that the sink has now',
    ]);
    assert.deepEqual(problemsOf(`sinks:\n${sink('a', 'x')}${sink('b', 'x')}`), [
      '3:44  sinks[1].formerly — is what sinks[0] was formerly too',
    ]);
    assert.equal(parsed(`sinks:\n${sink('a', 'x')}${sink('b', 'y')}`).sinks[0]?.formerly, 'x');
  });

  it('are reported together with other mistakes of the same item', () => {
    const text = `sinks:\n${FILE_SINK('a')}  - {id: a, type: file}\n`;
    assert.deepEqual(problemsOf(text), [
      '3:5  sinks[1].path — is required: text',
      '3:10  sinks[1].id — is the id of sinks[0] too; an id names one',
    ]);
  });
});

describe('what two bridges cannot both have', () => {
  it('a port, and the commands for a device, belong to one bridge', () => {
    const bridges = (...items: string[]) =>
      `bridges:\n${items.map((one) => `  - ${one}\n`).join('')}`;
    const serial = (id: string, more: string) => `{id: ${id}, type: serial, ${more}}`;
    const modbus = (port: string, device: string) =>
      `{id: m, type: modbus, transport: {type: rtu, port: ${port}}, slaves: [{unit: 1, device: ${device}, registers: [{metric: v, address: 0}]}]}`;
    const a = serial('a', 'port: /dev/x');
    assert.deepEqual(problemsOf(bridges(a, serial('b', 'port: /dev/x'))), [
      '3:33  bridges[1].port — is the port /dev/x, as of bridges[0]; only one can open it',
    ]);
    assert.deepEqual(problemsOf(bridges(a, modbus('/dev/x', 'd'))), [
      '3:56  bridges[1].transport.port — is the port /dev/x, as of bridges[0]; only one can open it',
    ]);
    const usb = 'usb: {vendor_id: "0403", serial_number: A1}';
    assert.match(
      problemsOf(bridges(serial('a', usb), serial('b', usb))).join(),
      /bridges\[1\].usb — is the port with vendor_id 0403, serial_number A1, as of bridges\[0\]/,
    );
    const writes = serial('w', 'port: /dev/y, write: {devices: [d, e]}');
    const also = 'is the device `d`, as of bridges[0]; a command for it has one way to go';
    assert.deepEqual(problemsOf(bridges(writes, modbus('/dev/x', 'd'))), [
      `3:92  bridges[1].slaves[0].device — ${also}`,
    ]);
    assert.match(
      problemsOf(bridges(modbus('/dev/x', 'w'), serial('w', 'port: /dev/y, write: {}'))).join(),
      /bridges\[1\].write — is the device `w`/,
    );
    const apart = [a, serial('b', 'port: /dev/z'), writes, modbus('/dev/t', 'f')];
    assert.deepEqual(problemsOf(bridges(...apart)), []);
  });

  it('a GPIO line, and the commands of outputs and programs, belong to one bridge', () => {
    const gpio = (id: string, line: string, more: string) =>
      `  - {id: ${id}, type: gpio, lines: [{line: ${line}, metric: m, ${more}}]}\n`;
    const exec = (id: string, devices: string) =>
      `  - {id: ${id}, type: exec, command: [a], commands: {${devices}}}\n`;
    const pump = gpio('a', '17', 'device: pump, mode: output');
    const door = gpio('b', 'GPIO17', 'device: pump, mode: state');
    assert.deepEqual(problemsOf(`bridges:\n${pump}${door}`), [
      '3:40  bridges[1].lines[0].line — is the line 17, as of bridges[0]; only one can have it',
    ]);
    const other = gpio('c', '18', 'device: pump, mode: state');
    assert.deepEqual(problemsOf(`bridges:\n${pump}${other}`), []);
    const also = /is the device `(pump|lamp)`, as of bridges\[0\]/;
    assert.match(problemsOf(`bridges:\n${pump}${exec('e', 'devices: [pump]')}`).join(), also);
    assert.match(
      problemsOf(`bridges:\n${exec('lamp', '')}${exec('e', 'devices: [lamp]')}`).join(),
      also,
    );
  });
});

describe('rules about who may connect', () => {
  it('a listener needs somebody whom it may admit', () => {
    const [problem = ''] = problemsOf('mqtt:\n  listeners: [{type: tcp}]\n');
    assert.match(
      problem,
      /^1:1 {2}mqtt\.anonymous — is false, .* no accounts yet \(write `anonymous: true`\)$/,
    );
    assert.match(
      problemsOf('mqtt:\n  listeners: [{type: tcp}]\n  anonymous: false\n').join(),
      /^3:14 {2}mqtt\.anonymous/,
    );
    assert.equal(
      parsed('mqtt: {anonymous: true, listeners: [{type: tcp}]}\n').mqtt.anonymous,
      true,
    );
  });

  it('anonymous access is for loopback, unless it is said to be wanted', () => {
    const text = (more: string, host: string) =>
      `mqtt:\n  anonymous: true\n${more}  listeners:\n    - type: tcp\n      host: ${host}\n`;
    for (const host of ['0.0.0.0', '"::"', '192.168.1.2', 'pi.local', '127.0.0.1.example.org'])
      assert.match(
        problemsOf(text('', host)).join(),
        /^5:13 {2}mqtt\.listeners\[0\]\.host — other machines .* `mqtt\.allow_insecure: true`/,
      );
    for (const host of ['127.0.0.1', '127.1.2.3', '"::1"', 'localhost'])
      assert.deepEqual(problemsOf(text('', host)), []);
    assert.deepEqual(problemsOf(text('  allow_insecure: true\n', '0.0.0.0')), []);
  });

  it('off loopback the console and the API need a token', () => {
    assert.match(
      problemsOf('http:\n  host: 0.0.0.0\n').join(),
      /^1:1 {2}http\.token — is required/,
    );
    assert.deepEqual(problemsOf('http: {host: 0.0.0.0, token: x}\n'), []);
    assert.deepEqual(problemsOf('http: {host: localhost}\n'), []);
    assert.deepEqual(problemsOf('http: {host: 0.0.0.0, tokn: x}\n'), [
      '1:23  http.tokn — unknown key (did you mean `token`?)',
    ]);
  });

  it('a port is used once on an address', () => {
    const mqtt = (...listeners: string[]) =>
      `mqtt: {anonymous: true, allow_insecure: true, listeners: [${listeners.join(', ')}]}\n`;
    assert.match(
      problemsOf(mqtt('{type: tcp}', '{type: tcp, port: 1883}')).join(),
      /mqtt\.listeners\[1\]\.port — port 1883 is used by mqtt\.listeners\[0\] too$/,
    );
    assert.match(
      problemsOf(mqtt('{type: tcp, host: 0.0.0.0, port: 8080}')).join(),
      /http\.port — port 8080 is used by mqtt\.listeners\[0\] too$/,
    );
    assert.deepEqual(problemsOf(mqtt('{type: tcp}', '{type: tcp, host: 10.0.0.1}')), []);
    assert.deepEqual(problemsOf(mqtt('{type: tcp, port: 0}', '{type: tcp, port: 0}')), []);
  });
});

describe('rules about values that belong together', () => {
  it('interval_ms belongs to durability: interval', () => {
    assert.match(
      problemsOf('log: {commit: {interval_ms: 500}}\n').join(),
      /^1:29 {2}log\.commit\.interval_ms — has no meaning with `durability: fsync`/,
    );
    const { commit } = parsed('log: {commit: {interval_ms: 500, durability: interval}}\n').log;
    assert.equal(commit.interval_ms, 500);
  });

  it('the shortest delay is not the longest', () => {
    const sink = (retry: string) => `sinks: [{id: a, type: file, path: x, retry: {${retry}}}]\n`;
    assert.match(
      problemsOf(sink('delay_min: 10 s, delay_max: 5 s')).join(),
      /^1:57 .*delay_min is longer/,
    );
    assert.match(problemsOf(sink('delay_min: 10 min')).join(), /delay_min is longer/);
    assert.match(
      problemsOf(sink('delay_max: 10 ms')).join(),
      /retry\.delay_max — delay_min is longer/,
    );
    assert.deepEqual(problemsOf(sink('delay_min: 5 s, delay_max: 5 s')), []);
  });

  it('a decode rule can be reached', () => {
    const rule = (topic: string) => `  - {topic: "${topic}", format: json}\n`;
    assert.deepEqual(
      problemsOf(`decode:\n${rule('a/{device}/{metric}')}${rule('a/{x}/{device}')}`),
      [
        '3:13  decode[1].topic — decode[0] matches the same topics and comes first, so this rule ' +
          'is never used',
      ],
    );
    assert.deepEqual(problemsOf(`decode:\n${rule('a/{device}')}${rule('b/{device}')}`), []);
  });
});

it('loopback is what only this machine can reach', () => {
  for (const host of [
    'localhost',
    'LOCALHOST',
    '127.0.0.1',
    '127.255.1.1',
    '::1',
    '0:0:0:0:0:0:0:1',
  ])
    assert.equal(isLoopback(host), true, host);
  for (const host of [
    '0.0.0.0',
    '::',
    '128.0.0.1',
    '127.0.0.1.evil.org',
    'localhost.evil.org',
    '::2',
    '1',
    '',
  ])
    assert.equal(isLoopback(host), false, host);
});
