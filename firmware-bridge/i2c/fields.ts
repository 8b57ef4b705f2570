import { z } from 'zod';
import { duration, id } from '../../config/fields.ts';
import { metric, plausibilityFields, scaleFields } from '../register/fields.ts';
import { deviceTopic } from '../sampling/fields.ts';

/** 7 bits; 0x00 to 0x07 and 0x78 to 0x7f are for the bus itself. */
export const ADDRESS_MIN = 0x08;
export const ADDRESS_MAX = 0x77;
/** The kernel numbers busses from 0; muxes and displays make some dozens. */
const BUS_MAX = 255;
/** What one bus can address. */
const DEVICES_MAX = 112;
/** A sensor that needs more is better served by a driver of the kernel. */
const REGISTERS_MAX = 64;
const MEASUREMENTS_MAX = 16;
const VALUES_MAX = 32;
const INIT_MAX = 64;
/** The longest block of SMBus, so that every adapter can do it. */
export const BLOCK_BYTES_MAX = 32;
/** A FIFO that holds more is drained several times. */
const READ_BYTES_MAX = 256;
const WIDEST_BITS = 32;

/** What fits into the registers of sensors; `uint16` and its like are wider ones. */
export const REGISTER_NUMBERS = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint24',
  'int24',
  'uint32',
  'int32',
  'float32',
] as const;
const VALUE_TYPES = [...REGISTER_NUMBERS, 'bool', 'bits'] as const;

const byte = z.int().min(0).max(0xff);
const bytes = () => z.array(byte).min(1).max(BLOCK_BYTES_MAX);
const order = () => z.enum(['big', 'little']);
/** Each transfer starts a program of some milliseconds of CPU on a Pi. */
const interval = () => duration({ min: '50 ms', max: '1 d' });
const pause = () => duration({ max: '10 s' });

/** What is in bytes, and what it means. */
const valueFields = {
  metric: metric().describe('Name of the metric. Unique in its device.'),
  type: z
    .enum(VALUE_TYPES)
    .default('uint8')
    .describe(
      'What the bytes hold. `bool` is whether a byte is not 0, or its `bit`; `bits` are several ' +
        'metrics.',
    ),
  byte_order: order().optional().describe('Which byte comes first. As the device says.'),
  mask: z
    .int()
    .min(1)
    .max(0xffff_ffff)
    .optional()
    .meta({ examples: [4095] })
    .describe(
      'Bits that belong to the value; `0xfff` may be written. Default all. The highest of them is ' +
        'the sign of a signed type.',
    ),
  shift: z
    .int()
    .min(1)
    .max(WIDEST_BITS - 1)
    .optional()
    .describe('Bits to the right of the value, which do not belong to it. Default 0.'),
  ...scaleFields(),
  bit: z
    .int()
    .min(0)
    .max(7)
    .optional()
    .describe('Of a `bool`: which bit of the byte; 0 is the lowest.'),
  bits: z
    .record(metric(), z.int().min(0).max(7))
    .optional()
    .meta({ examples: [{ ready: 0, fault: 3 }] })
    .describe(
      'Of `bits`: names and bits of a byte. Each is a metric of its own, `<metric>_<name>`.',
    ),
  ...plausibilityFields(),
};

const trigger = z.strictObject({
  write: bytes().describe('Bytes that start a conversion, the number of the register first.'),
  delay: pause().prefault('10 ms').describe('How long the conversion takes.'),
});

const register = z.strictObject({
  register: z.int().min(0).max(0xffff).describe('Number of its first register, as `0x02`.'),
  ...valueFields,
  interval: interval().optional().describe('Time between two readings. As the device says.'),
  trigger: trigger.optional().describe('What is written before it is read, and how long to wait.'),
  writable: z.boolean().default(false).describe('Whether a command may write it.'),
});

const value = z.strictObject({
  byte: z
    .int()
    .min(0)
    .max(READ_BYTES_MAX - 1)
    .describe('Where it begins in what was read, from 0; bytes of `crc` are not counted.'),
  ...valueFields,
});

const measurement = z.strictObject({
  write: bytes().optional().describe('Bytes that are written first: a command of the sensor.'),
  delay: pause().optional().describe('How long the sensor takes before it can be read. Default 0.'),
  read: z
    .int()
    .min(1)
    .max(READ_BYTES_MAX)
    .describe('Bytes that are read, those of `crc` included.'),
  crc: z
    .enum(['each_word', 'last_byte'])
    .optional()
    .describe(
      'Where the CRC-8 of Sensirion (polynomial 0x31, from 0xff) is: after every two bytes, or ' +
        'at the end. A reading that is damaged is left out.',
    ),
  interval: interval().optional().describe('Time between two readings. As the device says.'),
  values: z.array(value).min(1).max(VALUES_MAX).describe('What is in the bytes.'),
});

const initStep = z.strictObject({
  register: z.int().min(0).max(0xffff).optional().describe('Number of the register to write.'),
  value: z.number().optional().describe('The raw value that is written to it.'),
  type: z.enum(REGISTER_NUMBERS).default('uint8').describe('How wide the value is.'),
  write: bytes().optional().describe('Bytes to write as they are, in place of `register`.'),
  delay: pause().optional().describe('How long to wait afterwards. Default 0.'),
});

export const device = z.strictObject({
  device: id().describe('Name of the device in topics and readings. Unique in the bridge.'),
  address: z
    .int()
    .min(ADDRESS_MIN)
    .max(ADDRESS_MAX)
    .meta({ examples: [64] })
    .describe('Its address of 7 bits; `0x40` may be written. No other address is ever asked.'),
  register_bits: z
    .union([z.literal(8), z.literal(16)])
    .default(8)
    .describe('How wide the numbers of its registers are.'),
  byte_order: order().default('big').describe('Which byte of a wide value comes first.'),
  auto_increment: z
    .boolean()
    .default(false)
    .describe(
      'Whether reading on gives the next register, a byte each. Registers that follow each other ' +
        'are then read at once, and belong together.',
    ),
  interval: interval().optional().describe('Time between two readings. As the bridge says.'),
  init: z
    .array(initStep)
    .max(INIT_MAX)
    .default([])
    .describe('What is written at the start, and again when the device was away.'),
  registers: z.array(register).max(REGISTERS_MAX).default([]).describe('Registers that are read.'),
  measurements: z
    .array(measurement)
    .max(MEASUREMENTS_MAX)
    .default([])
    .describe('For sensors that have commands in place of registers: write, wait, read.'),
});

export const fields = z.strictObject({
  bus: z
    .union([z.int().min(0).max(BUS_MAX), z.string().min(1).max(128)])
    .meta({ examples: [1] })
    .describe(
      'Number of the bus (1 is `/dev/i2c-1`), or the name of its adapter in sysfs, such as ' +
        '`bcm2835 (i2c@7e804000)`: numbers move, names do not.',
    ),
  topic: deviceTopic('i2c/{device}'),
  interval: interval().prefault('10 s').describe('Time between two readings of a device.'),
  timeout: duration({ min: '100 ms', max: '60 s' })
    .prefault('3 s')
    .describe('How long a transfer may take. The kernel itself gives up after about a second.'),
  devices: z.array(device).min(1).max(DEVICES_MAX).describe('What is on the bus.'),
});

export type I2cFields = z.output<typeof fields>;
export type DeviceFields = I2cFields['devices'][number];
export type RegisterFields = DeviceFields['registers'][number];
export type MeasurementFields = DeviceFields['measurements'][number];
export type ValueFields = MeasurementFields['values'][number];
export type InitFields = DeviceFields['init'][number];
