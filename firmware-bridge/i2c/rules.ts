/** What a configuration must hold besides the types of its keys. Every problem names its key. */
import type { z } from 'zod';
import { checkQuantity, checkUnits } from '../register/fields.ts';
import { bytesOf, isFloat, rangeOf } from '../register/number.ts';
import { payloadLength } from './crc.ts';
import type {
  DeviceFields,
  I2cFields,
  InitFields,
  MeasurementFields,
  RegisterFields,
  ValueFields,
} from './fields.ts';
import { metricsOf, widthOf } from './value.ts';

type Report = (path: readonly (string | number)[], message: string) => void;
type Value = Omit<ValueFields, 'byte'>;

/** Adds an issue for everything that is wrong in the options of an i2c bridge. */
export function checkDevices({ devices }: I2cFields, context: z.RefinementCtx): void {
  const report: Report = (path, message) =>
    context.addIssue({ code: 'custom', path: [...path], message });
  for (const [i, device] of devices.entries()) {
    const inDevice: Report = (path, message) => report(['devices', i, ...path], message);
    for (const key of ['device', 'address'] as const) {
      const first = devices.findIndex((other) => other[key] === device[key]);
      if (first < i) inDevice([key], `is the ${key} of devices[${first}] too`);
    }
    checkDevice(device, inDevice);
  }
  const places = new Map<Value, (string | number)[]>();
  const measured = devices.map((one, i) => ({
    device: one.device,
    measured: valuesOf(one).flatMap(({ value, path }) => {
      places.set(value, ['devices', i, ...path, 'unit']);
      return value.type === 'bits' ? [] : [value];
    }),
  }));
  checkUnits(measured, (_, value, message) => report(places.get(value) ?? [], message));
}

/** Every value of a device, and where it is. */
export function valuesOf(device: DeviceFields): { value: Value; path: (string | number)[] }[] {
  const registers = device.registers.map((value, i) => ({ value, path: ['registers', i] }));
  const measured = device.measurements.flatMap(({ values }, i) =>
    values.map((value, j) => ({ value, path: ['measurements', i, 'values', j] })),
  );
  return [...registers, ...measured];
}

function checkDevice(device: DeviceFields, report: Report): void {
  const { registers, measurements, register_bits: bits, init } = device;
  if (registers.length + measurements.length === 0)
    report(['registers'], 'is empty, and there are no `measurements`: nothing would be read');
  const owners = new Set<string>();
  for (const { value, path } of valuesOf(device)) {
    const inValue: Report = (key, message) => report([...path, ...key], message);
    checkValue(value, inValue);
    for (const metric of metricsOf(value)) {
      if (owners.has(metric)) inValue(['metric'], `gives the metric \`${metric}\` a second time`);
      owners.add(metric);
    }
  }
  for (const [i, register] of registers.entries()) {
    const inRegister: Report = (key, message) => report(['registers', i, ...key], message);
    checkNumber(register.register, bits, inRegister);
    checkWritable(register, inRegister);
  }
  for (const [i, step] of init.entries())
    checkInit(step, bits, (key, message) => report(['init', i, ...key], message));
  for (const [i, one] of measurements.entries())
    checkMeasurement(one, (key, message) => report(['measurements', i, ...key], message));
}

function checkNumber(register: number, bits: 8 | 16, report: Report): void {
  if (bits === 8 && register > 0xff)
    report(['register'], `is ${register}, more than 8 bits hold: write \`register_bits: 16\``);
}

function checkValue(value: Value, report: Report): void {
  const { type, mask, shift = 0, bit, bits } = value;
  const isNumber = type !== 'bool' && type !== 'bits';
  checkQuantity(value, type, widthOf(value) * 8, report);
  if (bit !== undefined && type !== 'bool') report(['bit'], 'has a meaning only with `type: bool`');
  if (type === 'bits' && (bits === undefined || Object.keys(bits).length === 0))
    report(['bits'], 'is needed with `type: bits`: names and bits, such as `{ fault: 3 }`');
  if (type !== 'bits' && bits !== undefined) report(['bits'], 'needs `type: bits`');
  for (const key of ['mask', 'shift'] as const)
    if (value[key] !== undefined && (!isNumber || isFloat(type)))
      report([key], 'has a meaning only for whole numbers');
  if (!isNumber || isFloat(type)) return;
  const width = bytesOf(type) * 8;
  if (mask !== undefined && mask >= 2 ** width)
    report(['mask'], `is wider than \`${type}\`, which has ${width} bits`);
  else if ((mask ?? 2 ** width - 1) < 2 ** shift)
    report(['shift'], `is ${shift}, which leaves no bit of the value`);
}

function checkWritable({ writable, type, mask, shift = 0 }: RegisterFields, report: Report): void {
  if (!writable) return;
  if (type === 'bits')
    report(['writable'], 'is possible for numbers and single bits: declare each bit as a `bool`');
  const bits = BigInt(mask ?? 0) >> BigInt(shift);
  // else a number loses those of its bits that have no place
  if ((bits & (bits + 1n)) !== 0n)
    report(['mask'], 'must have all its bits in a row, from `shift` on, to be written');
}

function checkInit(step: InitFields, bits: 8 | 16, report: Report): void {
  const { register, value, type, write } = step;
  if ((register === undefined) === (write === undefined)) {
    report([], 'needs either `register` and `value`, or `write`');
    return;
  }
  if (register === undefined) {
    if (value !== undefined) report(['value'], 'needs a `register`; or put it into `write`');
    return;
  }
  checkNumber(register, bits, report);
  const [low, high] = rangeOf(type);
  if (value === undefined) report(['value'], 'is missing: what is to be written');
  else if (value < low || value > high)
    report(['value'], `is ${value}, and \`${type}\` holds ${low} to ${high}`);
  else if (!isFloat(type) && !Number.isInteger(value))
    report(['value'], `is ${value}, and \`${type}\` holds whole numbers`);
}

function checkMeasurement(measurement: MeasurementFields, report: Report): void {
  const { read, crc, values, write, delay } = measurement;
  if (delay !== undefined && write === undefined)
    report(['delay'], 'is waited after `write`, which is missing');
  if (crc === 'each_word' && read % 3 !== 0)
    report(['read'], `is ${read}, and with \`crc: each_word\` it is 3 bytes for every value`);
  if (crc === 'last_byte' && read < 2)
    report(['read'], `is ${read}, and with \`crc: last_byte\` the last byte is no data`);
  const length = payloadLength(read, crc);
  for (const [i, value] of values.entries()) {
    const end = value.byte + widthOf(value);
    if (end > length)
      report(['values', i, 'byte'], `goes to byte ${end - 1}, and ${length} bytes are read`);
  }
}
