/**
 * Sensors behind drivers of the kernel, and registers behind none, on the bus of i2c-stub; and a
 * USB serial adapter. One hub for all of them, as on a gateway: it takes 10 s to start in here.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { found, type GuestHub, guestHub, type SinkEvent } from './hub.ts';
import {
  BME280_ADDRESS,
  BME280_EXAMPLE,
  measureBme280,
  STUB,
  StubBus,
  writeBme280,
  writeLm75,
} from './i2c-chips.ts';
import { USB_SERIAL, usbSerial } from './usb-serial.ts';

const LM75_ADDRESS = 0x48;
const DRIVEN_ADDRESS = 0x49;
const FREE_ADDRESS = 0x50;
const BRIDGES = [
  `
id: air
type: iio
interval: 1 s
chips: [{ name: bme280, device: climate }]
`,
  `
id: heat
type: hwmon
interval: 1 s
chips: [{ name: lm75, parent: 0-0048, device: cabinet }]
`,
  `
id: registers
type: i2c
bus: ${STUB}
interval: 1 s
devices:
  - device: supply
    address: ${FREE_ADDRESS}
    registers:
      - { metric: voltage, register: 0x02, type: uint16, shift: 3, scale: 0.004, unit: V }
      - { metric: offset, register: 0x04, type: int8 }
      - { metric: pump, register: 0x14, type: bool, bit: 1, writable: true }
      - { metric: limit, register: 0x20, type: uint16, scale: 0.1, writable: true }
  - device: driven
    address: ${DRIVEN_ADDRESS}
    registers: [{ metric: temperature, register: 0 }]
`,
  USB_SERIAL,
];

const near = (value: unknown, wanted: number, by: number) =>
  typeof value === 'number' && Math.abs(value - wanted) <= by;

async function iio(t: TestContext, hub: GuestHub, bus: StubBus): Promise<void> {
  const { temperatureC, pressureHpa } = BME280_EXAMPLE;
  const first = await hub.event('the climate', ({ subject }) => subject === 'iio/climate');
  const { temperature, pressure, humidity } = first.data;
  assert.ok(near(temperature, temperatureC, 0.001), `${temperature} °C`);
  assert.ok(near(pressure, pressureHpa, 0.01), `${pressure} hPa`);
  assert.ok(near(humidity, 40.46, 0.01), `${humidity} %`);
  t.diagnostic(`BME280 through bmp280_i2c and IIO: ${JSON.stringify(first.data)}`);
  measureBme280(bus, BME280_EXAMPLE.raw.temperature + 16_000);
  const warmer = ({ subject, data }: SinkEvent) =>
    subject === 'iio/climate' && Number(data['temperature']) > temperatureC + 4;
  await hub.event('a warmer climate', warmer);
}

/** One chip goes, the other one of another bridge is read on. */
async function chipAway(t: TestContext, hub: GuestHub, bus: StubBus): Promise<void> {
  bus.detach(BME280_ADDRESS);
  const detail = await found('the missing chip in the status', async () => {
    const bridge = (await hub.bridges()).find(({ id }) => id === 'air');
    return bridge?.state === 'reading' ? undefined : bridge?.detail;
  });
  t.diagnostic(`without its driver: ${detail}`);
  const before = hub.about('hwmon/cabinet').length;
  await found('more of the cabinet', () => hub.about('hwmon/cabinet').length > before || undefined);
  bus.attach('bme280', BME280_ADDRESS);
  const gap = await hub.event('the gap', ({ subject }) => subject === 'holdfast/bridge/air');
  t.diagnostic(`the gap: ${JSON.stringify(gap.data)}`);
  await hub.bridgesReading();
  const again = hub.about('iio/climate').length;
  await found('the climate again', () => hub.about('iio/climate').length > again || undefined);
}

async function hwmon(t: TestContext, hub: GuestHub, bus: StubBus): Promise<void> {
  const at = (celsius: number) => (event: SinkEvent) =>
    event.subject === 'hwmon/cabinet' && event.data['temperature1'] === celsius;
  await hub.event('25.5 °C', at(25.5));
  writeLm75(bus, LM75_ADDRESS, -12.5);
  const cold = await hub.event('-12.5 °C', at(-12.5));
  t.diagnostic(`LM75 through hwmon: ${JSON.stringify(cold.data)}`);
}

async function registers(t: TestContext, hub: GuestHub, bus: StubBus): Promise<void> {
  const supply = (metric: string, value: unknown) =>
    hub.event(`${metric} ${value}`, ({ subject, data }) => {
      return subject === 'i2c/supply' && data[metric] === value;
    });
  const first = await supply('voltage', 5);
  assert.equal(first.data['offset'], -2);
  assert.equal(first.data['pump'], false);
  t.diagnostic(`registers: ${JSON.stringify(first.data)}`);
  const command = await hub.command('supply', 'pump', { value: true });
  assert.equal(command.state, 'done', JSON.stringify(command));
  assert.equal(bus.read(FREE_ADDRESS, 0x14), 0b1010_0010, 'only its own bit');
  await supply('pump', true);
  const limit = await hub.command('supply', 'limit', { value: 123.4 });
  assert.equal(limit.state, 'done', JSON.stringify(limit));
  const bytes = [bus.read(FREE_ADDRESS, 0x20), bus.read(FREE_ADDRESS, 0x21)];
  assert.deepEqual(bytes, [1234 >> 8, 1234 & 0xff]);
}

async function driverInTheWay(t: TestContext, hub: GuestHub): Promise<void> {
  const detail = await found('the driver in the status', async () => {
    const bridge = (await hub.bridges()).find(({ id }) => id === 'registers');
    return bridge?.detail?.includes('lm75') ? bridge.detail : undefined;
  });
  t.diagnostic(`an address with a driver: ${detail}`);
  assert.match(detail, /driven.*0x49/);
  assert.deepEqual(hub.about('i2c/driven'), []);
}

test('sensors', async (t) => {
  const bus = new StubBus();
  writeBme280(bus);
  bus.attach('bme280', BME280_ADDRESS);
  for (const address of [LM75_ADDRESS, DRIVEN_ADDRESS]) {
    writeLm75(bus, address, 25.5);
    bus.attach('lm75', address);
  }
  bus.write(FREE_ADDRESS, 0x02, [1_250 >> 5, (1_250 & 0x1f) << 3]);
  bus.write(FREE_ADDRESS, 0x04, [0xfe]);
  bus.write(FREE_ADDRESS, 0x14, [0b1010_0000]);
  bus.write(FREE_ADDRESS, 0x20, [0, 0]);
  const hub = await guestHub(t, BRIDGES);
  await hub.start(t);
  await t.test('IIO: a BME280 says what its data sheet says', (inner) => iio(inner, hub, bus));
  await t.test('hwmon: an LM75, also below zero', (inner) => hwmon(inner, hub, bus));
  await t.test('I2C: registers are read, and written by command', (inner) =>
    registers(inner, hub, bus),
  );
  await t.test('I2C: an address that a driver has is left alone', (inner) =>
    driverInTheWay(inner, hub),
  );
  await t.test('IIO: a chip goes and comes back, with its gap', (inner) =>
    chipAway(inner, hub, bus),
  );
  await t.test('USB serial: found by its numbers, again and again', (inner) =>
    usbSerial(inner, hub),
  );
});
