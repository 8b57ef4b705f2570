/**
 * Goal: what the hub acknowledged to a microcontroller is in its log, once, whatever happens.
 * Method: the C library as it is, compiled for this machine with the sanitizers, on a
 * pseudo-terminal; a real hub process, killed; a line that is cut and damages bytes.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../config/find-file.ts';
import { bridgeStatus } from '../support/command-client.ts';
import {
  type Board,
  compileHost,
  hasPrograms,
  LinkRig,
  STRICT,
  tool,
} from '../support/link-rig.ts';
import { linkVectors } from '../support/link-vectors.ts';
import { chooseSeed } from '../support/seeded-random.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const HOST = { gcc: 'gcc libc6-dev' };
const RIG = { ...HOST, socat: 'socat' };
const AVR = { 'avr-gcc': 'gcc-avr avr-libc' };
const ARM = { 'arm-none-eabi-gcc': 'gcc-arm-none-eabi libnewlib-arm-none-eabi' };
/** How often the hub is killed and the line cut. */
const ROUNDS = Number(process.env['HOLDFAST_LINK_ROUNDS'] ?? 3);
const FUZZ_SECONDS = Number(process.env['HOLDFAST_FUZZ_SECONDS'] ?? 3);
/** An order of magnitude more than a run takes on two shared cores. */
const RUN_MS_MAX = 120_000;

const UNO = ['-Os', '-mmcu=atmega328p'];
const PICO = ['-Os', '-mthumb', '-mcpu=cortex-m0plus'];

/** Bytes of an object file: what goes into flash, and what into RAM. */
function sizes(command: string, object: string): { code: number; ram: number } {
  const [, row = ''] = tool(command, [object]).split('\n');
  const [text = 0, data = 0, bss = 0] = row.trim().split(/\s+/).map(Number);
  return { code: text + data, ram: data + bss };
}

const TARGETS = [
  { chip: 'ATmega328P', programs: AVR, prefix: 'avr-', flags: UNO },
  { chip: 'RP2040', programs: ARM, prefix: 'arm-none-eabi-', flags: PICO },
];

for (const { chip, programs, prefix, flags } of TARGETS) {
  test(`the library is as small on the ${chip} as its page says`, async (t) => {
    if (!hasPrograms(t, programs)) return;
    const folder = await temporaryFolder(t);
    const compile = (source: string, output: string) => {
      const to = ['-c', source, '-o', join(folder, output)];
      tool(`${prefix}gcc`, [...STRICT, '-std=c99', ...flags, '-I.', ...to]);
      return sizes(`${prefix}size`, join(folder, output));
    };
    const { code, ram: constants } = compile('holdfast.c', 'library.o');
    const { ram } = compile('host/link_size.c', 'link.o');
    t.diagnostic(`${chip}: ${code} bytes of code, ${ram} of RAM`);
    assert.ok(code < 4096, `${code} bytes of code`);
    assert.equal(constants, 0);
    assert.ok(ram < 1024, `${ram} bytes of RAM`);
    const page = await readFile(join(packageRoot(), 'docs', 'link.md'), 'utf8');
    const [, saidCode, saidRam] =
      new RegExp(`${chip} .*\\| (\\d+) \\| (\\d+) \\|`).exec(page) ?? [];
    // another release of the compiler differs by some bytes
    assert.ok(
      Math.abs(Number(saidCode) - code) < 200,
      `docs/link.md says ${saidCode}, not ${code}`,
    );
    assert.ok(Math.abs(Number(saidRam) - ram) < 16, `docs/link.md says ${saidRam}, not ${ram}`);
  });
}

test('the examples compile without a warning', async (t) => {
  if (!hasPrograms(t, { ...AVR, 'avr-g++': 'gcc-avr', ...ARM })) return;
  const folder = await temporaryFolder(t);
  const shims = ['-I.', '-Ishims', '-o', join(folder, 'out')];
  tool('avr-gcc', [
    ...[...STRICT, ...UNO, '-std=c99', '-DF_CPU=16000000UL'],
    ...[...shims, 'examples/avr/main.c', 'holdfast.c'],
  ]);
  // the Arduino IDE does the same: it includes its core, and compiles the sketch as C++
  const sketch = [
    '-include',
    'Arduino.h',
    '-x',
    'c++',
    '-c',
    'examples/arduino/greenhouse/greenhouse.ino',
  ];
  tool('avr-g++', [...STRICT, ...UNO, ...shims, ...sketch]);
  tool('arm-none-eabi-gcc', [
    ...STRICT,
    ...PICO,
    '-std=c99',
    ...shims,
    '-c',
    'examples/pico/main.c',
  ]);
});

test('the library says and understands what the page says', async (t) => {
  if (!hasPrograms(t, HOST)) return;
  const vectors = await linkVectors();
  const script = compileHost(await temporaryFolder(t), 'script');
  const spaced = (name: string) =>
    vectors.get(name)?.toString('hex').replaceAll(/../g, '$& ').trim();
  const hub = (name: string) => `hub ${spaced(name)}`;
  const lines = [
    ...['poll', hub('WELCOME'), 'clock 1000', 'number temp 215 -1', 'clock 1250', 'poll', 'state'],
    ...[hub('NAK'), 'state', hub('WAIT'), hub('ACK'), 'clock 12000', 'poll', hub('PONG'), 'state'],
    ...[hub('COMMAND'), 'poll', hub('COMMAND'), 'poll', hub('WHO'), 'state'],
  ];
  const said = tool(script, [], `${lines.join('\n')}\n`)
    .trim()
    .split('\n');
  const frame = (name: string) => `device ${spaced(name)}`;
  assert.deepEqual(said, [
    ...[frame('HELLO'), frame('READING'), 'state 1 1 1 0 0 2 1790000001250'],
    ...['state 1 0 1 0 0 2 1790000001250', frame('PING'), 'state 1 0 1 0 0 2 1790000000000'],
    ...[frame('ANSWER'), frame('ANSWER'), 'state 0 0 1 0 0 2 1790000000000'],
  ]);
});

test('hostile bytes and odd clocks break no invariant of the library', async (t) => {
  if (!hasPrograms(t, HOST)) return;
  const seed = chooseSeed();
  const fuzz = compileHost(await temporaryFolder(t), 'fuzz');
  t.diagnostic(`seed ${seed}: ${tool(fuzz, [String(FUZZ_SECONDS), String(seed), '130']).trim()}`);
});

/** Every reading that the board was acknowledged for, and all that it kept, is there once. */
function assertOnce(rig: LinkRig, board: Board): void {
  assert.equal(board.errors, '');
  assert.deepEqual(board.acked, board.kept);
  const twice = [...rig.far.ids].filter(([, ids]) => ids.size > 1).map(([n]) => n);
  assert.deepEqual(twice, [], 'stored twice');
  const missing = board.acked.filter((n) => !rig.far.ids.has(n));
  assert.deepEqual(missing, [], 'acknowledged and not stored');
  assert.equal(rig.far.ids.size, board.kept.length);
}

test('a killed hub, a cut line and wrong bits: every acknowledged reading is stored once', async (t) => {
  if (!hasPrograms(t, RIG)) return;
  const seed = chooseSeed();
  t.diagnostic(`HOLDFAST_SEED=${seed}`);
  const rig = await LinkRig.start(t);
  let hub = await rig.startHub();
  const board = rig.board({
    readings: 650 * ROUNDS,
    intervalMs: 8,
    errorsPerMillion: 300,
    seed,
    bufferBytes: 65_000,
  });
  const more = (count: number) => {
    const goal = board.acked.length + count;
    return until(`${goal} acknowledged`, () => board.acked.length >= goal, RUN_MS_MAX);
  };
  for (let round = 0; round < ROUNDS; round++) {
    await more(150);
    await hub.kill('SIGKILL');
    hub = await rig.startHub();
    await more(150);
    await rig.cut();
    await until('the loss', async () => (await bridgeStatus(hub, 'board')).state !== 'reading');
    await rig.connect();
  }
  await until('all is acknowledged', () => board.done.length > 0, RUN_MS_MAX);
  await until('all is delivered', () => rig.far.ids.size >= board.kept.length, RUN_MS_MAX);
  assertOnce(rig, board);
  const [, , resent = 0, bad = 0] = board.done;
  t.diagnostic(`kept ${board.kept.length}, resent ${resent}, bad frames at the board ${bad}`);
  assert.ok(resent > 0 && bad > 0, 'the line was too good');
});

test('a full log: the board waits, gives up nothing while it has room, and counts the rest', async (t) => {
  if (!hasPrograms(t, RIG)) return;
  const rig = await LinkRig.start(t);
  const hub = await rig.startHub();
  rig.far.isOpen = false;
  const fill = () =>
    fetch(`${hub.url}/api/v1/events?topic=fill/x`, {
      method: 'POST',
      body: Buffer.from(Array.from({ length: 60_000 }, () => Math.random() * 256)),
    });
  await until('the log is full', async () => (await fill()).status === 503, RUN_MS_MAX);
  const bufferBytes = 1000;
  const board = rig.board({ readings: 300, intervalMs: 20, bufferBytes });
  await until('the board is full', () => board.lost.length >= 50, RUN_MS_MAX);
  assert.deepEqual(board.acked, [], 'a full log acknowledges nothing');
  const recordBytes = 1 + 13 + 1 + 5;
  assert.equal(board.waitedAtLoss, Math.floor(bufferBytes / recordBytes));
  await rig.cut();
  await until('the loss', async () => (await bridgeStatus(hub, 'board')).state !== 'reading');
  await rig.connect();
  const said = async () => (await bridgeStatus(hub, 'board')).detail ?? '';
  await until('the status names the log', async () => /the log, which is full/.test(await said()));
  rig.far.isOpen = true;
  await until('all is acknowledged', () => board.done.length > 0, RUN_MS_MAX);
  await until('all is delivered', () => rig.far.ids.size >= board.kept.length, RUN_MS_MAX);
  assertOnce(rig, board);
  const unreported = board.lost.filter((n) => n > (board.kept.at(-1) ?? 0)).length;
  assert.equal(rig.far.lost, board.lost.length - unreported, 'the hub was told of each');
});

test('a board with a store goes on after power cuts, without losing or repeating one', async (t) => {
  if (!hasPrograms(t, RIG)) return;
  const rig = await LinkRig.start(t);
  await rig.startHub();
  const store = join(rig.folder, 'flash');
  const readings = 150;
  for (let cut = 0; cut < 5; cut++) {
    const board = rig.board({ readings, intervalMs: 40, store });
    await until('some are acknowledged', () => board.acked.length >= 3 + 2 * cut);
    board.process.kill('SIGKILL');
    await board.ended;
    assert.deepEqual(board.lost, []);
  }
  const last = rig.board({ readings, intervalMs: 10, store });
  await until('all is acknowledged', () => last.done.length > 0, RUN_MS_MAX);
  assert.deepEqual([last.lost, last.errors], [[], '']);
  await until('all is delivered', () => rig.far.ids.size >= readings, RUN_MS_MAX);
  const counts = [...rig.far.ids.values()].map((ids) => ids.size);
  assert.deepEqual(new Set(counts), new Set([1]));
  assert.equal(rig.far.ids.size, readings);
});
