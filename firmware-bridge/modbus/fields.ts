import { z } from 'zod';
import { duration, host, id } from '../../config/fields.ts';
import { metric, plausibilityFields, scaleFields } from '../register/fields.ts';
import { deviceTopic } from '../sampling/fields.ts';
import { REGISTER_TYPES } from './register-type.ts';

/** The addresses that a request can name: 16 bits. */
export const ADDRESS_MAX = 0xffff;
/** Most that one answer can hold (Modbus application protocol 1.1b3, 6.1 and 6.3). */
export const READ_REGISTERS_MAX = 125;
export const READ_COILS_MAX = 2_000;
/** On a serial bus 248 to 255 are reserved and 0 means all; over TCP gateways use them all. */
const UNIT_MAX = 255;
/** What one bus can address. */
const SLAVES_MAX = 247;
/** A meter with more is a list of everything it knows; take what is wanted. */
const REGISTERS_MAX = 1_000;
/** Text of 64 characters; longer ones are not read as states of a device. */
const TEXT_REGISTERS_MAX = 32;
const HOLES_MAX = 100;
/** Timers below it are not exact, and no serial bus carries it. */
const INTERVAL_MIN = '20 ms';
const INTERVAL_MAX = '1 d';

/** Kinds of what a slave holds, by the names of the standard. */
export const KINDS = ['holding', 'input', 'coil', 'discrete'] as const;
export type Kind = (typeof KINDS)[number];

const address = () => z.int().min(0).max(ADDRESS_MAX);
const order = () => z.enum(['big', 'little']);
const interval = () => duration({ min: INTERVAL_MIN, max: INTERVAL_MAX });
const timeout = () => duration({ min: '10 ms', max: '60 s' });

const register = z.strictObject({
  metric: metric().describe('Name of the metric. Unique in its slave.'),
  address: address().describe('Address as it goes over the wire, from 0: 40001 of a manual is 0.'),
  kind: z.enum(KINDS).default('holding').describe('Which table of the slave it is in.'),
  type: z
    .enum(REGISTER_TYPES)
    .optional()
    .describe(
      'What is in the registers. Default `uint16`, and `bool` of coils and discrete inputs, which ' +
        'hold nothing else. `bool` of a register is whether it is not 0, or its `bit`.',
    ),
  ...scaleFields(),
  byte_order: order().optional().describe('Of the two bytes of a register. As the slave says.'),
  word_order: order().optional().describe('Of the registers of a wide value. As the slave says.'),
  length: z
    .int()
    .min(1)
    .max(TEXT_REGISTERS_MAX)
    .optional()
    .describe('Registers of a `string`, two characters each. Required there.'),
  bit: z.int().min(0).max(15).optional().describe('Of a `bool` in a register; 0 is the lowest.'),
  bits: z
    .record(metric(), z.int().min(0).max(15))
    .optional()
    .meta({ examples: [{ running: 0, fault: 3 }] })
    .describe('Of `bits`: names and bits. Each is a metric of its own, `<metric>_<name>`.'),
  ...plausibilityFields(),
  interval: interval().optional().describe('Time between two readings. As the slave says.'),
  writable: z
    .boolean()
    .default(false)
    .describe('Whether a command may write it: coils, and numbers in holding registers.'),
});

const hole = z.strictObject({
  kind: z.enum(KINDS).default('holding').describe('Which table it is in.'),
  from: address().describe('First address that must not be read.'),
  to: address().describe('Last address that must not be read.'),
});

const reads = z
  .strictObject({
    gap_max: z
      .int()
      .min(0)
      .max(READ_REGISTERS_MAX)
      .default(8)
      .describe('Unused addresses that are read along rather than asking twice. 0: none.'),
    registers_max: z
      .int()
      .min(1)
      .max(READ_REGISTERS_MAX)
      .default(READ_REGISTERS_MAX)
      .describe('Registers in one read, at most.'),
    coils_max: z
      .int()
      .min(1)
      .max(READ_COILS_MAX)
      .default(READ_COILS_MAX)
      .describe('Coils or discrete inputs in one read, at most.'),
  })
  .prefault({});

export const slave = z.strictObject({
  unit: z.int().min(0).max(UNIT_MAX).describe('Address of the slave on the bus: its unit id.'),
  device: id().describe('Name of the device in topics and readings. Unique in the bridge.'),
  timeout: timeout().optional().describe('How long it may take to answer. As the bridge says.'),
  interval: interval().optional().describe('Time between two readings. As the bridge says.'),
  byte_order: order().default('big').describe('Of the two bytes of a register.'),
  word_order: order()
    .default('big')
    .describe('Of the registers of a wide value; `little`: the low half comes first.'),
  write_with: z
    .enum(['single', 'multiple'])
    .default('single')
    .describe('Which function writes one register or coil: 5 and 6, or 15 and 16.'),
  reads: reads.describe('How registers are gathered into reads.'),
  holes: z
    .array(hole)
    .max(HOLES_MAX)
    .default([])
    .describe('Addresses that the slave refuses to read: no read goes across one.'),
  registers: z.array(register).min(1).max(REGISTERS_MAX).describe('What is read.'),
});

const tcpFields = {
  host: host().describe('Host of the slave or the gateway.'),
  port: z.int().min(1).max(65_535).default(502).describe('TCP port.'),
};

export const transport = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('tcp').describe('Modbus TCP.'), ...tcpFields }),
    z.strictObject({
      type: z
        .literal('rtu_over_tcp')
        .describe('RTU frames through a serial device server, which passes bytes on.'),
      ...tcpFields,
    }),
    z.strictObject({
      type: z.literal('rtu').describe('A serial line: RS-485 or RS-232.'),
      port: z
        .string()
        .regex(/^\//, 'must be the whole path, such as `/dev/ttyUSB0`')
        .max(256)
        .meta({ examples: ['/dev/serial/by-id/usb-FTDI_USB-RS485_Cable-if00-port0'] })
        .describe('Path of the serial port; one under `/dev/serial/by-id` stays the same.'),
      baud_rate: z.int().min(300).max(4_000_000).default(9_600).describe('Bits a second.'),
      parity: z
        .enum(['none', 'even', 'odd'])
        .default('none')
        .describe('The standard asks for `even`; most devices leave the factory with `none`.'),
      data_bits: z
        .union([z.literal(8), z.literal(7)])
        .default(8)
        .describe('RTU needs 8.'),
      stop_bits: z
        .union([z.literal(1), z.literal(2)])
        .default(1)
        .describe('Stop bits.'),
    }),
  ])
  .meta({ examples: [{ type: 'tcp', host: '192.168.1.20' }] })
  .describe('How the slaves are reached.');

export const fields = z.strictObject({
  transport,
  topic: deviceTopic('modbus/{device}'),
  interval: interval().prefault('10 s').describe('Time between two readings of a register.'),
  timeout: timeout().prefault('1 s').describe('How long a slave may take to answer.'),
  slaves: z.array(slave).min(1).max(SLAVES_MAX).describe('Who is on the bus.'),
});

export type ModbusFields = z.output<typeof fields>;
export type SlaveFields = ModbusFields['slaves'][number];
export type RegisterFields = SlaveFields['registers'][number];
export type TransportFields = ModbusFields['transport'];
