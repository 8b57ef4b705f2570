/** A USB serial adapter of the real drivers, pulled out and plugged in again. */
import assert from 'node:assert/strict';
import { closeSync, constants, existsSync, openSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { afterTest } from '../../support/after-test.ts';
import { found, type GuestHub } from './hub.ts';
import { UsbAdapter } from './usb-plug.ts';

const CYCLES = Number(process.env['HOLDFAST_USB_CYCLES'] ?? 5);
/** The serial bridge promises 5 s, on a machine that is not emulated by a busy one. */
const BACK_MS_MAX = 30_000;
export const USB_SERIAL = `
id: board
type: serial
usb: { vendor_id: "0403", product_id: "6001" }
baud_rate: 115200
topic: usb/board
`;

/** The hub leaves out what comes before the first end of a line: it may be half a line. */
const REST_OF_A_LINE = '.5}\n';

async function arrived(hub: GuestHub, number: number): Promise<void> {
  await hub.event(`line ${number}`, ({ data }) => data['n'] === number);
}

function gaps(hub: GuestHub): readonly Record<string, unknown>[] {
  return hub.about('holdfast/bridge/board').map(({ data }) => data);
}

/** Answers the milliseconds from plugging in until the hub reads again. */
async function replug(hub: GuestHub, adapter: UsbAdapter, number: number): Promise<number> {
  const before = gaps(hub).length;
  await adapter.pullOut();
  await found('the loss', async () => {
    const bridge = (await hub.bridges()).find(({ id }) => id === 'board');
    return bridge?.state === 'reading' ? undefined : true;
  });
  const startMs = performance.now();
  await adapter.plugIn();
  await hub.bridgesReading();
  const backMs = performance.now() - startMs;
  adapter.write(`${REST_OF_A_LINE}{"n":${number}}\n`);
  await arrived(hub, number);
  await found('the gap', () => (gaps(hub).length > before ? true : undefined));
  return backMs;
}

const median = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** While somebody holds a port its number stays taken, also after its adapter is gone. */
async function replugAtAnotherNumber(t: TestContext, hub: GuestHub, adapter: UsbAdapter) {
  const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants;
  const held = openSync('/dev/ttyUSB0', O_RDONLY | O_NONBLOCK | O_NOCTTY);
  try {
    await replug(hub, adapter, 10_001);
    assert.ok(existsSync('/dev/ttyUSB1'));
    t.diagnostic('USB serial: found again as ttyUSB1');
  } finally {
    closeSync(held);
  }
}

export async function usbSerial(t: TestContext, hub: GuestHub): Promise<void> {
  const adapter = new UsbAdapter();
  afterTest(t, () => adapter.close());
  await adapter.ready();
  adapter.write(REST_OF_A_LINE);
  for (let n = 1; n <= 100; n++) adapter.write(`{"n":${n},"text":"${'x'.repeat(n)}"}\n`);
  await arrived(hub, 100);
  const back: number[] = [];
  for (let cycle = 1; cycle <= CYCLES; cycle++)
    back.push(await replug(hub, adapter, 1_000 + cycle));
  t.diagnostic(
    `USB serial: ${CYCLES} cycles, reading again after ${back.map(Math.round).join(', ')} ms`,
  );
  assert.ok(median(back) < BACK_MS_MAX);
  await replugAtAnotherNumber(t, hub, adapter);
  const numbers = hub.about('usb/board').map(({ data }) => data['n']);
  const sent = [
    ...Array.from({ length: 100 }, (_, index) => index + 1),
    ...back.map((_, index) => 1_001 + index),
    10_001,
  ];
  assert.deepEqual(numbers, sent, 'every line once, in order');
  for (const gap of gaps(hub)) assert.ok(Number(gap['lengthMs']) > 0, JSON.stringify(gap));
  assert.equal(gaps(hub).length, CYCLES + 1);
}
