import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CHECKSUMS, checksumOf } from '../../firmware-bridge/serial/framing/checksum.ts';
import { cobsDecode, cobsEncode } from '../../firmware-bridge/serial/framing/cobs.ts';
import { createFramer, type FramingOptions } from '../../firmware-bridge/serial/framing/create.ts';
import { slipDecode, slipEncode } from '../../firmware-bridge/serial/framing/slip.ts';
import type { BadFrameReason } from '../../hub/core/bridge.ts';

type Given = Partial<FramingOptions> & Pick<FramingOptions, 'framing'>;

class Found {
  readonly frames: string[] = [];
  readonly reasons: BadFrameReason[] = [];
  frame(body: Buffer): void {
    this.frames.push(body.toString('hex'));
  }
  bad(reason: BadFrameReason): void {
    this.reasons.push(reason);
  }
}

const framerOf = (given: Given) => createFramer({ frame_bytes_max: 256, ...given });

/** Gives `bytes` in pieces of these lengths, over and over. */
function found(given: Given, bytes: Buffer, pieces: readonly number[] = [bytes.length]): Found {
  const framer = framerOf(given);
  const sink = new Found();
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = Math.max(1, pieces[i % pieces.length] ?? 1);
    framer.push(bytes.subarray(at, at + length), sink);
    at += length;
  }
  framer.end(sink);
  return sink;
}

const hexOf = (bodies: readonly Uint8Array[]) =>
  bodies.map((one) => Buffer.from(one).toString('hex'));
const bodies = (
  bytes = fc.integer({ min: 0, max: 255 }),
  length = { minLength: 1, maxLength: 40 },
) =>
  fc.array(
    fc.array(bytes, { ...length, size: 'max' }).map((list) => Buffer.from(list)),
    {
      maxLength: 20,
      size: 'max',
    },
  );
const pieces = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 8 });

/** Each way of framing, with bodies that it can hold. */
const FRAMINGS: readonly (readonly [string, Given, fc.Arbitrary<Buffer[]>])[] = [
  ['cobs', { framing: 'cobs', checksum: 'crc16_ccitt' }, bodies()],
  ['slip', { framing: 'slip', checksum: 'crc16_modbus' }, bodies()],
  ['cobs without a checksum', { framing: 'cobs' }, bodies()],
  ['lines', { framing: 'lines', checksum: 'crc32' }, bodies(fc.integer({ min: 0x20, max: 0x7e }))],
  [
    'delimiter of two bytes',
    { framing: 'delimiter', delimiter: '\r\n', checksum: 'xor8' },
    bodies(fc.integer({ min: 0x20, max: 0x7e })),
  ],
  [
    'fixed',
    { framing: 'fixed', frame_bytes: 7, start_bytes: 'aa55', checksum: 'crc32' },
    bodies(undefined, { minLength: 7, maxLength: 7 }),
  ],
  [
    'fixed without a start',
    { framing: 'fixed', frame_bytes: 7, checksum: 'crc32' },
    bodies(undefined, { minLength: 7, maxLength: 7 }),
  ],
  [
    'length_prefixed',
    { framing: 'length_prefixed', length_bytes: 2, length_byte_order: 'little', checksum: 'crc32' },
    bodies(),
  ],
  [
    'length_prefixed with its checksum counted',
    {
      framing: 'length_prefixed',
      start_bytes: '7e',
      length_includes_checksum: true,
      checksum: 'crc32',
    },
    bodies(),
  ],
];

for (const [name, given, arbitrary] of FRAMINGS) {
  test(`${name}: what was encoded is found, however it was split and merged`, () => {
    fc.assert(
      fc.property(arbitrary, pieces, (list, cuts) => {
        const framer = framerOf(given);
        const bytes = Buffer.concat(list.map((body) => framer.encode(body)));
        const { frames, reasons } = found(given, bytes, cuts);
        assert.deepEqual(frames, hexOf(list));
        assert.deepEqual(reasons, []);
      }),
      { numRuns: 60, endOnFailure: true },
    );
  });

  test(`${name}: any bytes give the same whole or in pieces, in bounded memory`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 700, size: 'max' }), pieces, (random, cuts) => {
        const bytes = Buffer.from(random);
        const whole = found(given, bytes);
        assert.deepEqual(found(given, bytes, cuts), whole);
        assert.deepEqual(found(given, bytes, [1]), whole);
      }),
      { numRuns: 60, endOnFailure: true },
    );
  });
}

for (const [name, given, arbitrary] of FRAMINGS.filter(
  ([, { checksum }]) => checksum === 'crc32',
)) {
  test(`${name}: garbage and halves between frames cost no good frame, and are counted`, () => {
    const noise = fc.uint8Array({ minLength: 1, maxLength: 30, size: 'max' });
    fc.assert(
      fc.property(
        arbitrary,
        fc.array(noise, { minLength: 1, maxLength: 5 }),
        pieces,
        (list, dirt, cuts) => {
          const framer = framerOf(given);
          const ended = given.framing === 'lines' ? Buffer.from('\n') : Buffer.alloc(0);
          const parts = list.flatMap((body, i) => {
            const frame = framer.encode(body);
            const half = frame.subarray(0, Math.floor(frame.length / 2));
            const garbage = Buffer.from(dirt[i % dirt.length] ?? []);
            return [half, garbage, ended, frame];
          });
          const { frames, reasons } = found(given, Buffer.concat(parts), cuts);
          assert.deepEqual(frames, hexOf(list));
          if (list.length > 0) assert.ok(reasons.length > 0);
          assert.ok(reasons.length <= 4 * parts.length, `${reasons.length} counted`);
        },
      ),
      { numRuns: 60, endOnFailure: true },
    );
  });
}

test('COBS and SLIP: known encodings, and none for what no encoder writes', () => {
  const cobs: readonly (readonly [string, string])[] = [
    ['00', '0101'],
    ['0000', '010101'],
    ['11220033', '0311220233'],
    ['11000000', '0211010101'],
    ['', '01'],
  ];
  for (const [body, encoded] of cobs) {
    assert.equal(cobsEncode(Buffer.from(body, 'hex')).toString('hex'), encoded);
    assert.equal(cobsDecode(Buffer.from(encoded, 'hex'))?.toString('hex'), body);
  }
  for (const length of [253, 254, 255, 508, 509]) {
    const body = Buffer.alloc(length, 7);
    const encoded = cobsEncode(body);
    assert.equal(encoded.length, length + Math.ceil(length / 254), String(length));
    assert.deepEqual(cobsDecode(encoded), body);
  }
  assert.equal(cobsDecode(Buffer.from('0511', 'hex')), undefined);
  assert.equal(slipEncode(Buffer.from('c0db01', 'hex')).toString('hex'), 'dbdcdbdd01');
  assert.equal(slipDecode(Buffer.from('dbdcdbdd01', 'hex'))?.toString('hex'), 'c0db01');
  assert.equal(slipDecode(Buffer.from('01db02', 'hex')), undefined);
  assert.equal(slipDecode(Buffer.from('01db', 'hex')), undefined);
});

test('checksums: the check values of their catalogues, and NMEA of a sentence', () => {
  const seal = (name: (typeof CHECKSUMS)[number], text: string, isText = false) =>
    checksumOf(name, isText).seal(Buffer.from(text)).subarray(text.length);
  assert.equal(seal('crc16_modbus', '123456789').toString('hex'), '374b'); // 0x4b37
  assert.equal(seal('crc16_ccitt', '123456789').toString('hex'), '29b1');
  assert.equal(seal('crc32', '123456789').toString('hex'), '2639f4cb'); // 0xcbf43926
  assert.equal(seal('xor8', '123456789').toString('hex'), '31');
  assert.equal(seal('crc16_ccitt', '123456789', true).toString(), '*29B1');
  const gga = '$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,';
  assert.equal(seal('nmea', gga).toString(), '*47');
  for (const name of CHECKSUMS) {
    for (const isText of [true, false]) {
      const checksum = checksumOf(name, isText);
      const frame = checksum.seal(Buffer.from('abc'));
      assert.equal(checksum.open(frame)?.toString(), 'abc');
      if (name === 'none') continue;
      const damaged = Buffer.from(frame);
      damaged[1] = (damaged[1] ?? 0) ^ 1;
      assert.equal(checksum.open(damaged), undefined, name);
      assert.equal(checksum.open(Buffer.alloc(0)), undefined, name);
    }
  }
});

test('a frame that is too long is counted once and skipped to its end', () => {
  const given: Given = { framing: 'lines', checksum: 'xor8', frame_bytes_max: 16 };
  const good = framerOf(given).encode(Buffer.from('fine'));
  const bytes = Buffer.concat([good, Buffer.alloc(1000, 0x41), Buffer.from('\n'), good]);
  for (const cuts of [[1], [7], [5000]]) {
    const { frames, reasons } = found(given, bytes, cuts);
    assert.deepEqual(frames, hexOf([Buffer.from('fine'), Buffer.from('fine')]));
    assert.deepEqual(reasons, ['too_long']);
  }
});

test('without a checksum, what comes before the first line end is left out: it may be a half', () => {
  const { frames, reasons } = found({ framing: 'lines' }, Buffer.from('1.5\n22.5\r\n\n'));
  assert.deepEqual(frames, hexOf([Buffer.from('22.5')]));
  assert.deepEqual(reasons, ['partial']);
  const framer = framerOf({ framing: 'lines' });
  const sink = new Found();
  framer.beginsClean();
  framer.push(Buffer.from('21.5\n'), sink);
  assert.deepEqual(sink.frames, hexOf([Buffer.from('21.5')]));
});

test('a half frame before a silence is given up, and what stands inside of it is found', () => {
  const given: Given = { framing: 'length_prefixed', length_bytes: 2, checksum: 'crc32' };
  const framer = framerOf(given);
  const sink = new Found();
  const good = framer.encode(Buffer.from('good'));
  framer.push(Buffer.concat([Buffer.from('0080ffee', 'hex'), good]), sink);
  assert.deepEqual(sink.frames, []);
  framer.silence(sink);
  assert.deepEqual(sink.frames, hexOf([Buffer.from('good')]));
  assert.equal(sink.reasons[0], 'partial');
  assert.equal(framer.hasBegun, false);
});

test('what cannot be a frame is not written', () => {
  const text = (given: Given, body: Buffer) => {
    try {
      framerOf(given).encode(body);
    } catch (error) {
      assert.ok(error instanceof RangeError);
      return error.message;
    }
    return '';
  };
  assert.match(text({ framing: 'lines' }, Buffer.from('a\nb')), /ends a frame/);
  assert.match(
    text({ framing: 'fixed', frame_bytes: 3 }, Buffer.from('ab')),
    /2 bytes, a frame has 3/,
  );
  assert.match(text({ framing: 'length_prefixed' }, Buffer.alloc(300)), /too many/);
  assert.match(text({ framing: 'cobs' }, Buffer.alloc(300)), /at most 256/);
});
