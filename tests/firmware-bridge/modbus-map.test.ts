import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc16, expectedOf, findAnswer, frameOf } from '../../firmware-bridge/modbus/frame.ts';
import { planReads, type Read, splitRead } from '../../firmware-bridge/modbus/read-plan.ts';
import {
  entriesOf,
  holdsBits,
  type RegisterEntry,
} from '../../firmware-bridge/modbus/register-map.ts';
import { NUMBER_TYPES } from '../../firmware-bridge/modbus/register-type.ts';
import { modbusSpec } from '../../firmware-bridge/modbus/spec.ts';
import { encodeValue, valuesOf } from '../../firmware-bridge/modbus/value.ts';
import { rangeOf } from '../../firmware-bridge/register/number.ts';
import { problemsOf } from '../config/problems-of.ts';

const TRANSPORT = { type: 'tcp', host: 'meter' };

function entries(registers: readonly object[], slave: object = {}): readonly RegisterEntry[] {
  const slaves = [{ unit: 1, device: 'd', registers, ...slave }];
  const options = modbusSpec.options.parse({ transport: TRANSPORT, slaves });
  return options.slaves.flatMap((one) => entriesOf(one, options));
}

function entry(register: object): RegisterEntry {
  const [only] = entries([{ metric: 'm', address: 0, ...register }]);
  return only ?? assert.fail('no entry');
}

const read = (register: object, hex: string) =>
  valuesOf(entry(register), Buffer.from(hex, 'hex')).map(([, value]) => value)[0];

test('registers hold what the standard and the makers put in them', () => {
  assert.equal(read({}, 'ffff'), 65_535);
  assert.equal(read({ type: 'int16', scale: 0.1 }, 'ff85'), -12.3);
  assert.equal(read({ type: 'int16', scale: 0.1, offset: -40 }, '0271'), 22.5);
  assert.equal(read({ byte_order: 'little' }, '3412'), 0x1234);
  assert.equal(read({ type: 'uint32' }, '12345678'), 0x12345678);
  assert.equal(read({ type: 'uint32', word_order: 'little' }, '56781234'), 0x12345678);
  assert.equal(read({ type: 'uint32', byte_order: 'little' }, '34127856'), 0x12345678);
  const both = { word_order: 'little', byte_order: 'little' };
  assert.equal(read({ type: 'uint32', ...both }, '78563412'), 0x12345678);
  assert.equal(read({ type: 'int64' }, 'fffffffffffffffe'), -2);
  assert.equal(read({ type: 'float32' }, '4366199a'), 230.1);
  assert.equal(read({ type: 'float64' }, '406cc33333333333'), 230.1);
  assert.equal(read({ type: 'bool', bit: 3 }, '0008'), true);
  assert.equal(read({ type: 'bool' }, '0000'), false);
  assert.equal(read({ type: 'string', length: 4 }, '41422043440d0000'), 'AB CD');
  assert.equal(read({ type: 'string', length: 1, byte_order: 'little' }, '4241'), 'AB');
  const bits = entry({ type: 'bits', bits: { run: 0, fault: 15 } });
  assert.deepEqual(valuesOf(bits, Buffer.from('8000', 'hex')), [
    ['m_run', false],
    ['m_fault', true],
  ]);
});

test('what is not available, no number, or out of range is left out', () => {
  for (const [register, hex] of [
    [{ type: 'int16', invalid: '0x8000' }, '8000'],
    [{ type: 'int16', invalid: 32_768 }, '8000'],
    [{ type: 'int16', invalid: -32_768 }, '8000'],
    [{ type: 'uint32', invalid: [1, '0xffffffff'] }, 'ffffffff'],
    [{ type: 'uint64', invalid: '0xffffffffffffffff' }, 'ffffffffffffffff'],
    [{ type: 'float32' }, '7fc00000'],
    [{ type: 'float32' }, 'ff800000'],
    [{ type: 'float32', invalid: -9999 }, 'c61c3c00'],
    [{ type: 'float32', invalid: '0x7f7fffff' }, '7f7fffff'],
    [{ type: 'float64', scale: 1e300 }, '7fe0000000000000'],
    [{ type: 'int16', scale: 0.1, min: -50, max: 150 }, '7fff'],
  ] as const)
    assert.equal(read(register, hex), undefined, `${JSON.stringify(register)} ${hex}`);
});

test('what is written is what is read again', () => {
  const orders = fc.constantFrom('big', 'little');
  const cases = fc.record({
    type: fc.constantFrom(...NUMBER_TYPES),
    byte_order: orders,
    word_order: orders,
    scale: fc.constantFrom(1, 0.1, 0.001, 10, -0.5),
    offset: fc.constantFrom(0, -40, 0.5),
    raw: fc.integer({ min: -70_000, max: 70_000 }),
  });
  fc.assert(
    fc.property(cases, ({ raw, ...register }) => {
      const one = entry({ ...register, writable: true });
      const value = Number((raw * register.scale + register.offset).toFixed(3));
      const encoded = encodeValue(one, value);
      const isFloat = register.type.startsWith('float');
      const [low, high] = rangeOf(register.type);
      const step = (value - register.offset) / register.scale;
      assert.equal(encoded.ok, isFloat || (step >= low && step <= high), JSON.stringify(encoded));
      if (!encoded.ok || encoded.is !== 'registers') return;
      const bytes = Buffer.alloc(2 * encoded.words.length);
      for (const [i, word] of encoded.words.entries()) bytes.writeUInt16BE(word, 2 * i);
      const again = valuesOf(one, bytes)[0]?.[1];
      const tolerance = register.type === 'float32' ? Math.abs(value) * 1e-5 + 1e-5 : 1e-9;
      assert.ok(Math.abs(Number(again) - value) <= tolerance, `${again} for ${value}`);
    }),
  );
});

test('a write that the register cannot hold is refused before it is sent', () => {
  const one = entry({ type: 'int16', scale: 0.5, min: 0, max: 50, unit: '°C', writable: true });
  const problem = (value: number | boolean | string, of = one) => {
    const encoded = encodeValue(of, value);
    return encoded.ok ? '' : encoded.problem;
  };
  assert.match(problem(50.5), /is 50.5 °C; allowed are 0 to 50/);
  assert.match(problem(20.3), /no multiple of its step of 0.5/);
  assert.match(problem(true), /takes a number/);
  assert.match(problem(Number.NaN), /cannot hold/);
  assert.match(problem(1, entry({})), /not `writable`/);
  assert.match(problem(70_000, entry({ writable: true })), /`uint16` cannot hold/);
  assert.match(problem(2, entry({ kind: 'coil', writable: true })), /takes `true` or `false`/);
  assert.equal(problem(1, entry({ kind: 'coil', writable: true })), '');
});

const span = (one: { address: number; length: number }) =>
  Array.from({ length: one.length }, (_, i) => one.address + i);

/** Registers that do not overlap, holes between them, and limits. */
const maps = fc
  .record({
    parts: fc.array(
      fc.record({
        gap: fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 3000 })),
        kind: fc.constantFrom('holding', 'input', 'coil', 'discrete'),
        type: fc.constantFrom('uint16', 'float32', 'int64', 'string'),
        hole: fc.boolean(),
      }),
      { minLength: 1, maxLength: 60 },
    ),
    gapMax: fc.integer({ min: 0, max: 20 }),
    registersMax: fc.integer({ min: 5, max: 125 }),
    coilsMax: fc.integer({ min: 1, max: 2000 }),
  })
  .map(({ parts, ...reads }) => {
    const next = new Map<string, number>();
    const registers: object[] = [];
    const holes: { kind: 'holding' | 'input' | 'coil' | 'discrete'; from: number; to: number }[] =
      [];
    for (const [i, { gap, kind, type, hole }] of parts.entries()) {
      const isBit = kind === 'coil' || kind === 'discrete';
      const from = next.get(kind) ?? 0;
      const address = from + gap;
      const length = isBit ? 1 : { uint16: 1, float32: 2, int64: 4, string: 5 }[type];
      if (address + length > 65_536) continue;
      if (hole && gap > 0) holes.push({ kind, from, to: from });
      next.set(kind, address + length);
      const shape = type === 'string' ? { type, length: 5 } : { type };
      registers.push({ metric: `m${i}`, address, kind, ...(isBit ? {} : shape) });
    }
    return { registers, limits: { ...reads, holes } };
  })
  .filter(({ registers }) => registers.length > 0);

function checkPlan(reads: readonly Read[], list: readonly RegisterEntry[], limits: Limits): void {
  const seen = reads.flatMap((one) => one.entries);
  assert.deepEqual(new Set(seen), new Set(list));
  assert.equal(seen.length, list.length, 'every register exactly once');
  for (const one of reads) {
    const most = holdsBits(one.kind) ? limits.coilsMax : limits.registersMax;
    assert.ok(one.length >= 1 && one.length <= most, `${one.length} of ${most}`);
    const wanted = new Set(one.entries.flatMap(span));
    let unwanted = 0;
    for (const address of span(one)) {
      const inHole = limits.holes.some(
        ({ kind, from, to }) => kind === one.kind && from <= address && address <= to,
      );
      assert.ok(!inHole, `${one.kind} ${address} is in a hole`);
      unwanted = wanted.has(address) ? 0 : unwanted + 1;
      assert.ok(unwanted <= limits.gapMax);
    }
    assert.ok(one.entries.every((e) => e.kind === one.kind));
    assert.ok([...wanted].every((address) => span(one).includes(address)));
  }
}
type Limits = Parameters<typeof planReads>[1];

test('merging reads every register once, within every limit, and never across a hole', () => {
  fc.assert(
    fc.property(maps, ({ registers, limits }) => {
      const list = entries(registers);
      const reads = planReads(list, limits);
      checkPlan(reads, list, limits);
      for (const one of reads) {
        const parts = splitRead(one, limits);
        if (parts === undefined) continue;
        assert.ok(parts.length > 1);
        checkPlan(parts, one.entries, limits);
      }
    }),
  );
});

test('merging asks no more often than needed', () => {
  const at = (...addresses: number[]) =>
    addresses.map((address) => ({ metric: `m${address}`, address }));
  const limits = { gapMax: 8, registersMax: 125, coilsMax: 2000, holes: [] };
  const spans = (list: readonly object[], given: Partial<Limits> = {}) =>
    planReads(entries(list), { ...limits, ...given }).map((one) => [one.address, one.length]);
  assert.deepEqual(spans(at(0, 1, 2)), [[0, 3]]);
  assert.deepEqual(spans(at(9, 0)), [[0, 10]]);
  assert.deepEqual(spans(at(10, 0)), [
    [0, 1],
    [10, 1],
  ]);
  const run = at(...Array.from({ length: 130 }, (_, i) => i));
  assert.deepEqual(spans(run), [
    [0, 125],
    [125, 5],
  ]);
  const holes = [{ kind: 'holding', from: 1, to: 1 }] as const;
  assert.deepEqual(spans(at(0, 2), { holes }), [
    [0, 1],
    [2, 1],
  ]);
  const twice = [
    { metric: 'word', address: 5 },
    { metric: 'flag', address: 5, type: 'bool', bit: 1 },
  ];
  assert.deepEqual(spans(twice), [[5, 1]]);
});

test('the CRC is that of the standard', () => {
  assert.equal(crc16(Buffer.from('123456789')), 0x4b37);
  assert.deepEqual(frameOf(Buffer.from('010300000002', 'hex')).toString('hex'), '010300000002c40b');
});

test('an answer is found in any noise, and nothing else is taken for one', () => {
  const request = frameOf(Buffer.from('010300000002', 'hex'));
  const expected = expectedOf(request);
  const answer = frameOf(Buffer.from('01030411112222', 'hex'));
  const noise = fc.uint8Array({ maxLength: 40 });
  fc.assert(
    fc.property(noise, noise, (before, after) => {
      const bytes = Buffer.concat([before, answer, after]);
      assert.deepEqual(findAnswer(bytes, expected), answer);
    }),
  );
  const others = ['02030411112222', '01040411112222', '010302111122', '018403', '010611112222'];
  for (const other of others)
    assert.equal(findAnswer(frameOf(Buffer.from(other, 'hex')), expected), undefined, other);
  assert.equal(findAnswer(answer.subarray(0, -1), expected), undefined);
  const exception = frameOf(Buffer.from('018302', 'hex'));
  assert.deepEqual(findAnswer(exception, expected), exception);
  const damaged = Buffer.from(answer);
  damaged[3] = 0x12;
  assert.equal(findAnswer(damaged, expected), undefined);
});

const PROBLEMS: readonly (readonly [string, RegExp])[] = [
  ['{ metric: a, address: 65535, type: float32 }', /address.*65535 to 65536.*last one is 65535/],
  ['{ metric: a, address: 70000 }', /address.*65535/],
  ['{ metric: a, address: 0, type: int24 }', /type.*(int16|one of)/],
  ['{ metric: a, address: 0, scale: 0 }', /scale.*is 0, which makes every value 0/],
  ['{ metric: a, address: 0, type: string }', /length.*is needed with `type: string`/],
  ['{ metric: a, address: 0, type: string, length: 99 }', /length.*32/],
  ['{ metric: a, address: 0 }, { metric: a, address: 1 }', /metric.*`a`, as registers\[0\] does/],
  [
    '{ metric: a, address: 0, type: float32 }, { metric: b, address: 1 }',
    /address.*is 1, which overlaps with registers\[0\]/,
  ],
  ['{ metric: a, address: 5 }', /address.*is 5, in the hole 5 to 6/],
  ['{ metric: a, address: 0, kind: coil, type: int16 }', /type.*a coil holds one bit/],
  ['{ metric: a, address: 0, kind: input, writable: true }', /writable.*no way to write/],
  ['{ metric: a, address: 0, type: bool, bit: 2, writable: true }', /writable.*not for parts/],
  ['{ metric: a, address: 0, type: bits }', /bits.*names and bits/],
  ['{ metric: a, address: 0, min: 5, max: 1 }', /max.*less than `min`/],
  ['{ metric: a, address: 0, invalid: 70000 }', /invalid.*`uint16` holds 0 to 65535/],
  ['{ metric: time, address: 0 }', /metric.*time of a message/],
  ['{ metric: a, address: 0, kind: coil, unit: V }', /unit.*only for numbers/],
];

const yaml = (registers: string, more = '') => `
bridges:
  - id: bus
    type: modbus
    transport: { type: rtu, port: /dev/ttyUSB0 }
    slaves:
      - { unit: 1, device: d1, holes: [{ from: 5, to: 6 }], registers: [${registers}] }
      ${more}
`;

for (const [registers, pattern] of PROBLEMS)
  test(`the configuration is refused: ${registers}`, () => {
    const problems = problemsOf(yaml(registers));
    assert.ok(
      problems.some((one) => pattern.test(one)),
      problems.join('\n') || 'none',
    );
    assert.ok(problems.every((one) => /^\d+:\d+ /.test(one)));
  });

test('slaves are told apart, and a metric has one unit', () => {
  const one = '{ metric: a, address: 0, unit: V }';
  const second = (text: string) => problemsOf(yaml(one, `- ${text}`)).join('\n');
  assert.match(second(`{ unit: 1, device: d2, registers: [${one}] }`), /unit of slaves\[0\] too/);
  assert.match(second(`{ unit: 2, device: d1, registers: [${one}] }`), /device of slaves\[0\] too/);
  assert.match(second(`{ unit: 0, device: d2, registers: [${one}] }`), /1 to 247/);
  const millivolts = '{ metric: a, address: 0, unit: mV }';
  assert.match(second(`{ unit: 2, device: d2, registers: [${millivolts}] }`), /one metric has one/);
  assert.equal(second(`{ unit: 2, device: d2, registers: [${one}] }`), '');
});
