/**
 * Chips on the bus of the kernel's i2c-stub, which keeps what is written to their registers. The
 * drivers that read them are the kernel's real ones.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const BUSSES = '/sys/bus/i2c/devices';
export const STUB = 'SMBus stub driver';

/** Whole numbers from 0 to 255. */
type Bytes = readonly number[];

const hex = (value: number) => `0x${value.toString(16)}`;

export class StubBus {
  readonly number: number;

  constructor() {
    const name = readdirSync(BUSSES).find((entry) => readName(entry) === STUB);
    if (name === undefined) throw new Error(`${BUSSES} has no ${STUB}`);
    this.number = Number(name.slice('i2c-'.length));
  }

  /** Also behind the back of a driver. */
  write(address: number, register: number, bytes: Bytes): void {
    const target = [String(this.number), hex(address), hex(register)];
    execFileSync('i2cset', ['-f', '-y', ...target, ...bytes.map(hex), 'i']);
  }

  read(address: number, register: number): number {
    const target = [String(this.number), hex(address), hex(register)];
    return Number(execFileSync('i2cget', ['-f', '-y', ...target], { encoding: 'utf8' }));
  }

  /** A word of 16 bits, the more significant byte first: i2c-stub keeps words and bytes apart. */
  writeWord(address: number, register: number, value: number): void {
    const swapped = ((value & 0xff) << 8) | (value >> 8);
    const target = [String(this.number), hex(address), hex(register), hex(swapped)];
    execFileSync('i2cset', ['-f', '-y', ...target, 'w']);
  }

  /** Tells the kernel that there is a chip, so that it binds its driver. */
  attach(driver: string, address: number): void {
    writeFileSync(join(BUSSES, `i2c-${this.number}`, 'new_device'), `${driver} ${hex(address)}`);
  }

  detach(address: number): void {
    writeFileSync(join(BUSSES, `i2c-${this.number}`, 'delete_device'), hex(address));
  }
}

function readName(entry: string): string | undefined {
  if (!/^i2c-\d+$/.test(entry)) return undefined;
  return readFileSync(join(BUSSES, entry, 'name'), 'utf8').trim();
}

const word = (value: number): Bytes => [value & 0xff, (value >> 8) & 0xff];
/** 20 bits, to the left of three bytes. */
const adc = (value: number): Bytes => [value >> 12, (value >> 4) & 0xff, (value & 0x0f) << 4];

export const BME280_ADDRESS = 0x76;
const BME280_DATA = 0xf7;

/** What its converters measured, and what that is by the example of its data sheet. */
export const BME280_EXAMPLE = {
  raw: { pressure: 415_148, temperature: 519_888, humidity: 0x6b00 },
  temperatureC: 25.08,
  pressureHpa: 1006.53,
} as const;

/** A BME280 with the calibration that its data sheet has as an example. */
export function writeBme280(bus: StubBus): void {
  const temperature = [27_504, 26_435, -1_000];
  const pressure = [36_477, -10_685, 3_024, 2_855, 140, -7, 15_500, -14_600, 6_000];
  bus.write(BME280_ADDRESS, 0xd0, [0x60]);
  bus.write(BME280_ADDRESS, 0x88, [...temperature, ...pressure].flatMap(word));
  bus.write(BME280_ADDRESS, 0xa1, [75]);
  // h2 = 362, h3 = 0, h4 = 313 and h5 = 50 of 12 bits each, h6 = 30
  bus.write(BME280_ADDRESS, 0xe1, [...word(362), 0, 313 >> 4, 0x29, 50 >> 4, 30]);
  measureBme280(bus, BME280_EXAMPLE.raw.temperature);
}

/** What the chip measures from now on. */
export function measureBme280(bus: StubBus, temperature: number): void {
  const { pressure, humidity } = BME280_EXAMPLE.raw;
  const data = [...adc(pressure), ...adc(temperature), humidity >> 8, humidity & 0xff];
  bus.write(BME280_ADDRESS, BME280_DATA, data);
}

/** An LM75: degrees in halves, to the left of a word. */
export function writeLm75(bus: StubBus, address: number, celsius: number): void {
  bus.writeWord(address, 0x00, (Math.round(celsius * 2) << 7) & 0xffff);
}
