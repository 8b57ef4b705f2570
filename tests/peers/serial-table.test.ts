/**
 * Every framing with every checksum and every format, from the outside: devices that know nothing
 * of our code (serial-oracle.ts) on real pseudo-terminals, a hub process, and what its API tells.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { afterTest } from '../support/after-test.ts';
import { bridgeStatus } from '../support/command-client.ts';
import { eventually, type HubProcess, hubYaml, runHub } from '../support/hub-process.ts';
import { hasSocat, PseudoTerminals } from '../support/pseudo-terminal.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';
import {
  bodyOf,
  type Combination,
  combinations,
  delimiterOf,
  frame,
  optionsOf,
} from '../support/serial-oracle.ts';

const IS_ALL = process.env['HOLDFAST_SERIAL_TABLE'] === 'all';
/** A hub has 64 bridges at most, and each has a socat here. */
const BRIDGES_MAX = 40;
const FRAMES = 60;
/** Of weak checksums one in 256 damaged pieces would pass. */
const STRONG = new Set(['crc16_modbus', 'crc16_ccitt', 'crc32']);

interface Device {
  readonly id: string;
  readonly combination: Combination;
  readonly terminals: PseudoTerminals;
  readonly bytes: Buffer;
  readonly payloads: readonly (object | Buffer)[];
  /** Pieces between the frames that are none. */
  readonly damaged: number;
}

/** All of them, or each framing with each checksum, and the formats in turn. */
function chosen(random: () => number): Combination[] {
  const all = combinations();
  if (IS_ALL) return all;
  const byPair = new Map<string, Combination[]>();
  for (const one of all) {
    const pair = `${one.framing} ${one.checksum}`;
    byPair.set(pair, [...(byPair.get(pair) ?? []), one]);
  }
  let turn = Math.floor(random() * 8);
  return [...byPair.values()].flatMap((some) => some[turn++ % some.length] ?? []);
}

/** A byte of the body with another last bit, where that makes no other byte special. */
function damagedFrame(combination: Combination, good: Buffer, random: () => number): Buffer {
  const bad = Buffer.from(good);
  for (;;) {
    const at = Math.floor((0.3 + 0.3 * random()) * bad.length);
    const before = bad[at] ?? 0;
    const special = [0x00, 0x03, 0x0a, 0x0d, 0xc0, 0xdb, 0xdc, 0xdd];
    if (special.includes(before) || special.includes(before ^ 1)) continue;
    if (combination.framing === 'cobs' && at < 2) continue;
    bad[at] = before ^ 1;
    return bad;
  }
}

function noise(random: () => number): Buffer {
  return Buffer.from(Array.from({ length: 40 }, () => Math.floor(random() * 256)));
}

function makeDevice(
  combination: Combination,
  index: number,
  folder: string,
  random: () => number,
): Device {
  const end = delimiterOf(combination.framing);
  // without a checksum what comes before the first delimiter is left out
  const parts: Buffer[] = [end];
  const payloads: (object | Buffer)[] = [];
  let damaged = 0;
  for (let n = 0; n < FRAMES; n++) {
    const { body, payload } = bodyOf(combination, 1_000 * index + n, random);
    const good = frame(combination, body);
    const kind = random();
    const isBad = combination.checksum !== 'none' && kind < 0.3;
    if (isBad) damaged++;
    if (isBad && kind < 0.1 && STRONG.has(combination.checksum)) parts.push(noise(random), end);
    else if (isBad && kind < 0.2 && STRONG.has(combination.checksum))
      parts.push(good.subarray(0, Math.ceil(good.length / 2)), end);
    else if (isBad) parts.push(damagedFrame(combination, good, random));
    parts.push(good, ...(random() < 0.1 ? [end, end] : []));
    payloads.push(payload);
  }
  const id = `b${index}`;
  const terminals = new PseudoTerminals(join(folder, id), join(folder, `${id}-device`));
  return { id, combination, terminals, bytes: Buffer.concat(parts), payloads, damaged };
}

/** Cut anywhere: a byte at a time, or many frames at once. */
async function send({ terminals, bytes }: Device, random: () => number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + Math.floor(random() ** 4 * 1_500);
    await terminals.write(bytes.subarray(at, at + length));
    at += length;
  }
}

async function published(hub: HubProcess, { id }: Device): Promise<(object | Buffer)[]> {
  const answer = await hub.get(`/api/v1/events?topic=t/${id}&limit=1000`);
  const events: { data?: object; data_base64?: string }[] = JSON.parse(await answer.text());
  return events.map(({ data, data_base64 }) => data ?? Buffer.from(data_base64 ?? '', 'base64'));
}

async function badFrames(hub: HubProcess, { id }: Device): Promise<number> {
  const text = await (await hub.get('/metrics')).text();
  const counts = text.matchAll(
    new RegExp(`^holdfast_bridge_bad_frames_total\\{.*bridge="${id}".*\\} (\\d+)$`, 'gm'),
  );
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}

async function runTable(
  t: TestContext,
  devices: readonly Device[],
  folder: string,
  random: () => number,
) {
  for (const { terminals } of devices) {
    afterTest(t, () => terminals.unplug());
    await terminals.plugIn();
  }
  const hub = await runHub(
    t,
    folder,
    hubYaml(
      [],
      [
        'bridges:',
        ...devices.map(({ id, combination, terminals }) => {
          const options = `port: ${terminals.port}, topic: t/${id}, ${optionsOf(combination)}`;
          return `  - { id: ${id}, type: serial, ${options} }`;
        }),
      ],
    ).replace('sinks:\n', ''),
  );
  await hub.ready();
  for (const { id } of devices)
    await eventually(
      `${id} is read`,
      async () => (await bridgeStatus(hub, id)).state === 'reading',
    );
  await Promise.all(devices.map((device) => send(device, random)));
  for (const device of devices) {
    const what = optionsOf(device.combination);
    await eventually(`all frames of ${what}`, async () => {
      return (await published(hub, device)).length >= FRAMES;
    });
    assert.deepEqual(await published(hub, device), device.payloads, what);
    const bad = await badFrames(hub, device);
    // noise can be several bad pieces, and look like the beginning of a frame after it
    if (device.damaged === 0) assert.equal(bad, 0, what);
    else assert.ok(bad >= device.damaged * 0.6, `${what}: ${bad} of ${device.damaged} counted`);
  }
  assert.equal(await hub.kill('SIGTERM'), 0);
}

test('serial: every framing, checksum and format, half frames, noise and bit errors', async (t) => {
  if (!hasSocat(t)) return;
  const seed = chooseSeed();
  t.diagnostic(`HOLDFAST_SEED=${seed}`);
  const random = seededRandom(seed);
  const table = chosen(random);
  t.diagnostic(`${table.length} combinations, ${FRAMES} frames each`);
  for (let from = 0; from < table.length; from += BRIDGES_MAX) {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-table-'));
    afterTest(t, () => rm(folder, { recursive: true, force: true }));
    const devices = table
      .slice(from, from + BRIDGES_MAX)
      .map((combination, i) => makeDevice(combination, from + i, folder, random));
    await runTable(t, devices, folder, random);
  }
});
