import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkedPayload, crc8 } from '../../firmware-bridge/i2c/crc.ts';
import { REGISTER_NUMBERS } from '../../firmware-bridge/i2c/fields.ts';
import { i2cSpec } from '../../firmware-bridge/i2c/spec.ts';
import { cyclesOf } from '../../firmware-bridge/i2c/steps.ts';
import {
  type Abilities,
  parseAbilities,
  parseAnswer,
  problemOf,
  transferLine,
} from '../../firmware-bridge/i2c/tool-line.ts';
import { bytesToWrite, encode, entryOf, valuesIn } from '../../firmware-bridge/i2c/value.ts';
import { bytesOf } from '../../firmware-bridge/register/number.ts';
import { problemsOf } from '../config/problems-of.ts';

const parse = (device: object) => {
  const options = { bus: 1, devices: [{ device: 'd', address: 0x40, ...device }] };
  const [only] = i2cSpec.options.parse(options).devices;
  return only ?? assert.fail('no device');
};
const entry = (register: object) => {
  const device = parse({ registers: [{ metric: 'm', register: 0, ...register }] });
  const [only] = device.registers;
  return only ? entryOf(only, device.byte_order) : assert.fail('no register');
};
const read = (register: object, hex: string) =>
  valuesIn(entry(register), Buffer.from(hex, 'hex')).map(([, value]) => value)[0];

test('bytes hold what the data sheets say', () => {
  assert.equal(read({}, 'ff'), 255);
  assert.equal(read({ type: 'int8' }, 'ff'), -1);
  assert.equal(read({ type: 'uint24' }, '012345'), 0x012345);
  assert.equal(read({ type: 'int24' }, 'fffffe'), -2);
  assert.equal(read({ type: 'uint16', byte_order: 'little' }, '3412'), 0x1234);
  assert.equal(read({ type: 'int32', byte_order: 'little' }, 'feffffff'), -2);
  assert.equal(read({ type: 'float32' }, '41b9999a'), 23.2);
  // LM75: nine bits at the left, half degrees
  assert.equal(read({ type: 'int16', shift: 7, scale: 0.5 }, 'e700'), -25);
  // MCP9808: twelve bits and a sign bit at the right, flags at the left
  assert.equal(read({ type: 'int16', mask: 0x1fff, scale: 0.0625 }, 'c194'), 25.25);
  assert.equal(read({ type: 'int16', mask: 0x1fff, scale: 0.0625 }, 'dff0'), -1);
  // AHT20: twenty bits of three bytes, at the left and at the right
  assert.equal(read({ type: 'uint24', shift: 4 }, 'abcdef'), 0xabcde);
  assert.equal(read({ type: 'uint24', mask: 0xfffff }, 'abcdef'), 0xbcdef);
  assert.equal(read({ type: 'bool', bit: 7 }, '80'), true);
  assert.equal(read({ type: 'bool' }, '00'), false);
  assert.equal(read({ type: 'int16', invalid: '0x8000' }, '8000'), undefined);
  assert.equal(read({ type: 'uint16', min: 1 }, '0000'), undefined);
  assert.equal(read({ type: 'float32' }, '7fc00000'), undefined);
  assert.deepEqual(valuesIn(entry({ type: 'bits', bits: { a: 0, b: 3 } }), Buffer.from([8])), [
    ['m_a', false],
    ['m_b', true],
  ]);
});

test('what is written is what is read again, and bits beside it stay', () => {
  const whole = REGISTER_NUMBERS.filter((type) => type !== 'float32');
  const cases = fc
    .record({
      type: fc.constantFrom(...whole),
      byte_order: fc.constantFrom('big', 'little'),
      from: fc.nat(31),
      to: fc.nat(31),
      scale: fc.constantFrom(1, 0.1, 10),
      step: fc.nat(),
      before: fc.uint8Array({ minLength: 4, maxLength: 4 }),
    })
    .filter(({ type, from, to }) => from <= to && to < bytesOf(type) * 8);
  fc.assert(
    fc.property(cases, ({ from, to, step, before, ...rest }) => {
      const mask = Number(((1n << BigInt(to - from + 1)) - 1n) << BigInt(from));
      const one = entry({ ...rest, mask, ...(from > 0 ? { shift: from } : {}), writable: true });
      const bits = to - from + 1;
      const low = rest.type.startsWith('int') ? -(2 ** (bits - 1)) : 0;
      const value = Number(((low + (step % 2 ** bits)) * rest.scale).toFixed(1));
      const encoded = encode(one, value);
      assert.ok(encoded.ok, 'problem' in encoded ? encoded.problem : '');
      const old = Buffer.from(before.subarray(0, one.bytes));
      const bytes = bytesToWrite(one, encoded, old);
      assert.deepEqual(valuesIn(one, bytes), [['m', value]]);
      const others = (buffer: Buffer) => {
        const ordered = one.isLittle ? Buffer.from(buffer).reverse() : buffer;
        return BigInt(`0x${ordered.toString('hex')}`) & ~BigInt(mask);
      };
      assert.equal(others(bytes), others(old));
    }),
  );
});

test('the checksums of Sensirion are found, and one wrong bit too', () => {
  assert.equal(crc8(Buffer.from('beef', 'hex')), 0x92);
  const bytes = Buffer.from('beef92000081', 'hex');
  assert.equal(checkedPayload(bytes, 'each_word')?.toString('hex'), 'beef0000');
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = Buffer.from(bytes);
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(checkedPayload(damaged, 'each_word'), undefined);
  }
  const last = Buffer.from([1, 2, 3, crc8(Buffer.from([1, 2, 3]))]);
  assert.equal(checkedPayload(last, 'last_byte')?.length, 3);
});

const ALL: Abilities = { i2c: true, blockRead: true, blockWrite: true };
const BLOCKS: Abilities = { i2c: false, blockRead: true, blockWrite: true };
const WORDS: Abilities = { i2c: false, blockRead: false, blockWrite: false };

test('a transfer becomes a line of i2c-tools, as the adapter allows it', () => {
  const line = (write: number[], length: number, abilities: Abilities) => {
    const asked = transferLine(
      1,
      { address: 0x40, write: Buffer.from(write), read: length },
      abilities,
    );
    return asked.ok ? asked.line : asked.problem;
  };
  assert.equal(line([2], 2, ALL), 'i2ctransfer -y 1 w1@0x40 0x02 r2');
  assert.equal(line([], 6, ALL), 'i2ctransfer -y 1 r6@0x40');
  assert.equal(line([1, 0x12], 0, ALL), 'i2ctransfer -y 1 w2@0x40 0x01 0x12');
  assert.equal(line([2], 2, BLOCKS), 'i2cget -y 1 0x40 0x02 i 2');
  assert.equal(line([2], 1, BLOCKS), 'i2cget -y 1 0x40 0x02 b');
  assert.equal(line([], 1, BLOCKS), 'i2cget -y 1 0x40');
  assert.equal(line([7], 0, BLOCKS), 'i2cset -y 1 0x40 0x07 c');
  assert.equal(line([7, 1], 0, BLOCKS), 'i2cset -y 1 0x40 0x07 0x01 b');
  assert.equal(line([7, 1, 2, 3], 0, BLOCKS), 'i2cset -y 1 0x40 0x07 0x01 0x02 0x03 i');
  assert.equal(line([2], 2, WORDS), 'i2cget -y 1 0x40 0x02 w');
  assert.equal(line([7, 0x12, 0x34], 0, WORDS), 'i2cset -y 1 0x40 0x07 0x3412 w');
  assert.match(line([2], 3, WORDS), /speaks only SMBus, which has no read of 3 bytes/);
  assert.match(line([0x12, 0x34], 2, BLOCKS), /no read of 2 bytes after a write of 2/);
  assert.match(line([], 6, BLOCKS), /only SMBus/);
});

test('answers and errors of i2c-tools are understood', () => {
  const list = 'I2C                              no\nI2C Block Read                   yes';
  assert.deepEqual(parseAbilities(list.split('\n')), { ...BLOCKS, blockWrite: false });
  assert.equal(parseAbilities(['sh: i2cdetect: not found']), undefined);
  assert.deepEqual(parseAnswer(['0x12 0x34'], 'bytes', 2), Buffer.from([0x12, 0x34]));
  assert.deepEqual(parseAnswer(['0x3412'], 'word', 2), Buffer.from([0x12, 0x34]));
  assert.equal(parseAnswer(['0x12'], 'bytes', 2), undefined);
  assert.equal(parseAnswer(['Warning'], 'bytes', 1), undefined);
  const is = (text: string, code = 1) => problemOf(code, text.split('\n')).is;
  assert.equal(is('sh: 1: i2ctransfer: not found', 127), 'missing_tool');
  assert.equal(is("Error: Could not open file `/dev/i2c-7': No such file or directory"), 'no_bus');
  assert.equal(is("Error: Could not open file `/dev/i2c-7': Permission denied"), 'denied');
  const busy = 'Error: Could not set address to 0x41: Device or resource busy\nError: faulty';
  assert.equal(is(busy), 'taken');
  assert.equal(is('Error: Sending messages failed: Connection timed out'), 'no_answer');
});

test('registers are read at once only where the device counts on', () => {
  const registers = [
    { metric: 'a', register: 0xf7, type: 'uint24', shift: 4 },
    { metric: 'b', register: 0xfa, type: 'uint24', shift: 4 },
    { metric: 'c', register: 0xd0 },
    { metric: 'd', register: 0xfa, type: 'bool', bit: 1 },
    { metric: 'e', register: 0xfe, interval: '1 s' },
  ];
  const reads = (given: object) =>
    cyclesOf(parse({ registers, ...given }), 10_000).map(({ intervalMs, steps }) => [
      intervalMs,
      ...steps.map(({ write, read: length }) => `${write.toString('hex')} ${length}`),
    ]);
  assert.deepEqual(reads({}), [
    [10_000, 'f7 3', 'fa 3', 'd0 1', 'fa 1'],
    [1_000, 'fe 1'],
  ]);
  assert.deepEqual(reads({ auto_increment: true }), [
    [10_000, 'd0 1', 'f7 6'],
    [1_000, 'fe 1'],
  ]);
  assert.deepEqual(reads({ register_bits: 16, registers: [{ metric: 'a', register: 0x212 }] }), [
    [10_000, '0212 1'],
  ]);
});

test('what is wrong in the configuration is said with its place', () => {
  const of = (device: string) =>
    problemsOf(
      'hub: { id: h }\nbridges:\n  - id: b\n    type: i2c\n    bus: 1\n    devices:\n' +
        `      - { device: d, address: 0x40, ${device} }\n`,
    ).join('\n');
  const one = (register: string) => of(`registers: [{ metric: m, register: 1, ${register} }]`);
  assert.equal(one('type: int16'), '');
  assert.match(of('register_bits: 8'), /registers — is empty, and there are no `measurements`/);
  assert.match(of('registers: [{ metric: m, register: 0x100 }]'), /more than 8 bits hold/);
  assert.match(one('mask: 0x1ff'), /mask — is wider than `uint8`/);
  assert.match(one('shift: 8'), /shift — is 8, which leaves no bit/);
  assert.match(one('type: bits'), /bits — is needed/);
  assert.match(one('type: bool, scale: 2'), /scale — has a meaning only for numbers/);
  assert.match(one('type: bits, bits: { a: 0 }, writable: true'), /declare each bit as a `bool`/);
  assert.equal(one('mask: 0xf0, shift: 4, writable: true'), '');
  assert.match(one('mask: 0xf0, writable: true'), /mask — must have all its bits in a row/);
  assert.equal(one('mask: 0x85'), '');
  assert.match(of('registers: [{ metric: m, register: 1 }], init: [{ value: 1 }]'), /needs either/);
  assert.match(
    of('registers: [{ metric: m, register: 1 }], init: [{ register: 1, value: 300 }]'),
    /is 300, and `uint8` holds 0 to 255/,
  );
  const values = 'values: [{ metric: m, byte: 3, type: uint16 }]';
  assert.match(of(`measurements: [{ read: 6, crc: each_word, ${values} }]`), /goes to byte 4/);
  assert.match(of(`measurements: [{ read: 5, crc: each_word, ${values} }]`), /is 5, and with/);
  assert.match(
    of(`measurements: [{ read: 5, delay: 1 s, ${values} }]`),
    /`write`, which is missing/,
  );
  assert.match(of('address: 0x78, registers: []'), /address/);
  const bridge =
    'type: i2c, bus: 1, devices: [{ device: d, address: 8, registers: [{ metric: m, register: 1 }] }]';
  const two = `hub: { id: h }\nbridges: [{ id: a, ${bridge} }, { id: b, ${bridge} }]\n`;
  assert.match(problemsOf(two).join('\n'), /is the device `d`, as of bridges\[0\]/);
});
