import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { packageRoot } from '../../config/find-file.ts';
import { loadConfig } from '../../config/load.ts';
import { topicTemplate } from '../../firmware-bridge/format/topic.ts';
import {
  crc16,
  Deframer,
  encodeFrame,
  FRAME_BYTES_MAX,
  type Frame,
} from '../../firmware-bridge/link/frame.ts';
import { readingOf } from '../../firmware-bridge/link/reading.ts';
import * as wire from '../../firmware-bridge/link/wire.ts';
import { afterTest } from '../support/after-test.ts';
import { linkVectors } from '../support/link-vectors.ts';

const TIME = { wallMs: 1_790_000_000_000, synced: true };
const SESSION = 0x1234abcd;

const frame = fc.record({
  type: fc.integer({ min: 0, max: 255 }),
  body: fc.uint8Array({ maxLength: FRAME_BYTES_MAX - 3 }),
});

function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort(
    (a, b) => a - b,
  );
  return places.map((place, i) => bytes.subarray(places[i - 1] ?? 0, place));
}

function deframed(parts: readonly Buffer[]): (Frame | string)[] {
  const deframer = new Deframer();
  return parts.flatMap((part) =>
    [...deframer.take(part)].map((found) =>
      typeof found === 'string' ? found : { type: found.type, body: Buffer.from(found.body) },
    ),
  );
}

test('the checksum is that of the specification', () => {
  assert.equal(crc16(Buffer.from('123456789')), 0x29b1);
});

test('frames are found whole, however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 6 }),
      fc.array(fc.nat(), { maxLength: 12 }),
      (frames, cuts) => {
        const bytes = Buffer.concat(frames.map(({ type, body }) => encodeFrame(type, body)));
        const expected = frames.map(({ type, body }) => ({ type, body: Buffer.from(body) }));
        assert.deepEqual(deframed(pieces(bytes, cuts)), expected);
      },
    ),
  );
});

test('up to three wrong bits hurt no frame but the ones that they are in', () => {
  const flips = fc.array(fc.nat(), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(frame, frame, frame, flips, (before, hurt, after, bits) => {
      const [first, bad, last] = [before, hurt, after].map(({ type, body }) =>
        encodeFrame(type, body),
      );
      assert.ok(first && bad && last);
      // the delimiters belong to both neighbours
      for (const bit of new Set(bits.map((b) => b % ((bad.length - 2) * 8))))
        bad[1 + (bit >> 3)] = (bad[1 + (bit >> 3)] ?? 0) ^ (1 << (bit & 7));
      const found = deframed([Buffer.concat([first, bad, last])]).filter(
        (f) => typeof f !== 'string',
      );
      const whole = [before, after].map(({ type, body }) => ({ type, body: Buffer.from(body) }));
      assert.deepEqual([found[0], found.at(-1)], whole);
    }),
    { numRuns: 300 },
  );
});

test('noise is bounded: what is too long is counted once and skipped', () => {
  const noise = Buffer.alloc(100_000, 0x55);
  const good = encodeFrame(wireType('PING'), Buffer.from([1, 2, 3]));
  assert.deepEqual(
    deframed([noise, good]).map((f) => (typeof f === 'string' ? f : 'good')),
    ['too_long', 'good'],
  );
});

function wireType(name: 'PING'): number {
  return { PING: 3 }[name];
}

test('the hub says what the page says', async () => {
  const vectors = await linkVectors();
  const said: Readonly<Record<string, Buffer>> = {
    WELCOME: wire.welcome(1, SESSION, 0, 8, TIME),
    ACK: wire.ack(SESSION, 1),
    NAK: wire.nak(SESSION, 1, 2),
    WAIT: wire.wait(SESSION, 1, 5000),
    WHO: wire.who(),
    COMMAND: wire.command(7, Buffer.from('echo'), Buffer.from('hi')),
    PONG: wire.pong(SESSION, 1, TIME),
  };
  for (const [name, bytes] of Object.entries(said))
    assert.deepEqual(bytes.subarray(1).toString('hex'), vectors.get(name)?.toString('hex'), name);
});

test('the hub understands what the page says', async () => {
  const vectors = await linkVectors();
  const heard = (name: string) => {
    const [found] = deframed([vectors.get(name) ?? Buffer.alloc(0)]);
    assert.ok(typeof found === 'object', `${name}: ${found}`);
    return wire.parse(found);
  };
  assert.deepEqual(heard('HELLO'), {
    kind: 'hello',
    version: 1,
    nonce: 1,
    session: 0,
    first: 1,
    next: 1,
    window: 8,
    frameBytesMax: 128,
    device: 'pico',
  });
  assert.deepEqual(heard('PING'), { kind: 'ping', tag: 0xabcd });
  const answer = heard('ANSWER');
  assert.deepEqual(answer, { kind: 'answer', id: 7, status: 0, payload: Buffer.from('hi') });
  const reading = heard('READING');
  assert.ok(reading?.kind === 'reading');
  assert.deepEqual([reading.tag, reading.sequence], [0xabcd, 1]);
  const { metric, payload, lost } = readingOf(reading.record, TIME);
  assert.deepEqual(
    [metric, JSON.parse(payload.toString()), lost],
    ['temp', { v: 21.5, t: TIME.wallMs - 250 }, 0],
  );
  const unsynced = readingOf(reading.record, { ...TIME, synced: false });
  assert.deepEqual(JSON.parse(unsynced.payload.toString()), { v: 21.5, age_ms: 250 });
});

test('every record is published somehow, under a metric that is one level of a topic', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 119 }), (bytes) => {
      const { metric, payload } = readingOf(Buffer.from(bytes), TIME);
      assert.match(metric, /^[^/+#$\p{C}]+$/u);
      assert.equal(typeof JSON.parse(payload.toString()), 'object');
    }),
  );
});

test('whatever its name is, a reading has a topic: without one its device could never go on', () => {
  const template = topicTemplate('site/{device}/{metric}', 'x');
  const names = fc.string({ unit: 'grapheme', maxLength: 200 });
  fc.assert(
    fc.property(fc.oneof(names, fc.constantFrom(' ', '\t', 'x'.repeat(200))), (text) => {
      const name = Buffer.from(text).subarray(0, 200);
      const record = Buffer.concat([Buffer.alloc(13), name, Buffer.of(1)]);
      record[11] = 4;
      record[12] = name.length;
      const { metric } = readingOf(record, TIME);
      assert.ok(template.fill({ device: 'd', metric }), JSON.stringify(text));
    }),
  );
});

test('the example of each page passes `holdfast check`', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-link-'));
  afterTest(t, () => rm(folder, { recursive: true, force: true }));
  for (const page of ['docs/link.md', 'firmware-bridge/firmware/README.md']) {
    const text = await readFile(join(packageRoot(), page), 'utf8');
    const [, example] = /```yaml\n([\s\S]*?)```/.exec(text) ?? [];
    assert.ok(example, page);
    const file = join(folder, 'holdfast.yaml');
    await writeFile(file, example);
    loadConfig({ file }, {});
    await writeFile(file, example.replace('{device}/', ''));
    assert.throws(() => loadConfig({ file }, {}), /`\{device\}` and `\{metric\}`/);
  }
});

test('a single is published with the digits that it has', () => {
  const single = (value: number) => {
    const record = Buffer.alloc(18);
    record.set([2, 1], 11);
    record.write('f', 13);
    record.writeFloatLE(value, 14);
    return JSON.parse(readingOf(record, TIME).payload.toString()).v;
  };
  assert.deepEqual([21.3, -0.1, 1e-20, 16777216, Number.NaN].map(single), [
    21.3,
    -0.1,
    1e-20,
    16777216,
    'NaN',
  ]);
});
