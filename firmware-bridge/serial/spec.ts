import { z } from 'zod';
import { bytes, duration } from '../../config/fields.ts';
import type { BridgeSpec } from '../../hub/core/bridge.ts';
import { devicesField, expression, formatFields, topicField } from '../format/fields.ts';
import { ownDecodeRules } from '../format/topic.ts';
import { CHECKSUMS } from './framing/checksum.ts';
import { combinationProblems } from './option-rules.ts';

/** The slowest teleprinters, and twice what USB adapters promise. */
const BAUD_RATE = { min: 50, max: 8_000_000 };
/** A frame is held in memory until it is whole. */
const FRAME_BYTES_MAX = 65_536;
/** What ends a frame is a byte or two. */
const DELIMITER_CHARACTERS_MAX = 8;
const START_BYTES_MAX = 8;
const TEXT_CHARACTERS_MAX = 1_024;

const usbId = (what: string, example: string) =>
  z
    .string()
    .regex(/^(0x)?[0-9A-Fa-f]{4}$/, 'must be four hexadecimal digits, as `lsusb` shows them')
    .meta({ title: 'four hexadecimal digits', examples: [example] })
    .transform((text) => text.replace(/^0x/, '').toLowerCase())
    .describe(what);

const usb = z
  .strictObject({
    vendor_id: usbId(
      'Vendor of the adapter or board, as `lsusb` shows it before the colon.',
      '0403',
    ),
    product_id: usbId('Product, as `lsusb` shows it after the colon.', '6001').optional(),
    serial_number: z
      .string()
      .min(1)
      .max(256)
      .optional()
      .meta({ examples: ['A50285BI'] })
      .describe('Serial number of the adapter; needed when two of one kind are plugged in.'),
  })
  .optional()
  .describe('Finds the port by the USB device that it belongs to, whatever number it gets.');

const write = z
  .strictObject({
    devices: devicesField('Names of the devices whose commands are written to this port.'),
    expect: expression(
      'What the frame that answers a command looks like. It is the answer, and is not published. ' +
        'Without it a command is `sent` when it is written.',
    )
      .optional()
      .meta({ examples: ['^(OK|ERR)'] }),
    timeout: duration({ min: '10 ms', max: '1 h' })
      .prefault('2 s')
      .describe('How long the answer may take.'),
  })
  .optional()
  .describe('Takes commands: `POST /api/v1/devices/{device}/commands`. None by default.');

const shape = {
  port: z
    .string()
    .regex(/^\//, 'must be the whole path, such as `/dev/ttyUSB0`')
    .max(TEXT_CHARACTERS_MAX)
    .optional()
    .meta({ examples: ['/dev/serial/by-id/usb-Raspberry_Pi_Pico_E6614-if00'] })
    .describe(
      'Path of the port. `/dev/serial/by-id/...` stays the same whatever the order of plugging ' +
        'in; `/dev/ttyUSB0` does not.',
    ),
  usb,
  baud_rate: z
    .int()
    .min(BAUD_RATE.min)
    .max(BAUD_RATE.max)
    .default(115_200)
    .describe('Bits a second.'),
  data_bits: z
    .union([z.literal(5), z.literal(6), z.literal(7), z.literal(8)])
    .default(8)
    .describe('Bits of a character. Eight is what nearly every device has.'),
  parity: z.enum(['none', 'even', 'odd']).default('none').describe('Parity bit of a character.'),
  stop_bits: z
    .union([z.literal(1), z.literal(2)])
    .default(1)
    .describe('Stop bits after a character.'),
  flow_control: z
    .enum(['none', 'rts_cts', 'xon_xoff'])
    .default('none')
    .describe(
      'How a device is told to wait when the log is full. Without it, what the buffers of the ' +
        'system cannot hold is lost. `rts_cts` needs two more wires, `xon_xoff` text without ' +
        'control characters.',
    ),
  framing: z
    .enum(['lines', 'cobs', 'slip', 'fixed', 'delimiter', 'length_prefixed'])
    .default('lines')
    .describe('How frames are told apart. Lines, because most firmware prints them.'),
  delimiter: z
    .string()
    .min(1)
    .max(DELIMITER_CHARACTERS_MAX)
    .regex(/^[^\u0100-\uffff]*$/, 'may hold only characters up to \\xff: each is one byte')
    .optional()
    .meta({ examples: ['\u0003'] })
    .describe('What ends a frame, one byte a character. For `framing: delimiter`.'),
  frame_bytes: z
    .int()
    .min(1)
    .max(FRAME_BYTES_MAX / 2)
    .optional()
    .describe('Bytes of a frame between the start and the checksum. For `framing: fixed`.'),
  start_bytes: z
    .string()
    .regex(/^([0-9A-Fa-f]{2})+$/, 'must be bytes in hexadecimal digits, such as `aa55`')
    .max(2 * START_BYTES_MAX)
    .optional()
    .meta({ examples: ['aa55'] })
    .describe(
      'Bytes that every frame begins with, in hexadecimal. For `fixed`, `length_prefixed`.',
    ),
  length_bytes: z
    .union([z.literal(1), z.literal(2), z.literal(4)])
    .optional()
    .meta({ 'x-default': '1' })
    .describe('Bytes of the length. For `framing: length_prefixed`.'),
  length_byte_order: z
    .enum(['big', 'little'])
    .optional()
    .meta({ 'x-default': 'big' })
    .describe('Which byte of the length comes first. For `framing: length_prefixed`.'),
  length_includes_checksum: z
    .boolean()
    .optional()
    .meta({ 'x-default': 'false' })
    .describe('Whether the length counts the checksum too. For `framing: length_prefixed`.'),
  frame_bytes_max: bytes({ min: '8 B', max: '64 KiB' })
    .prefault('4 KiB')
    .describe('A longer frame is counted as bad and skipped: a lost line end is no endless line.'),
  frame_timeout: duration({ min: '10 ms', max: '1 min' })
    .prefault('1 s')
    .describe(
      'After this silence a `fixed` or `length_prefixed` frame that has begun is given up.',
    ),
  checksum: z
    .enum(CHECKSUMS)
    .optional()
    .meta({ 'x-default': 'none; nmea with `format: nmea`' })
    .describe(
      'Checksum at the end of a frame, over all between the start bytes and itself: binary, and ' +
        'in text (`lines`, `delimiter`) as `*` and hexadecimal digits.',
    ),
  format: z
    .enum(['json', 'csv', 'key_value', 'regex', 'nmea', 'cbor', 'messagepack', 'raw', 'link'])
    .default('json')
    .describe(
      'What is in a frame. It is published as JSON; `raw`, and `csv` without `columns`, as they ' +
        'came. `link` is Holdfast Link (docs/link.md).',
    ),
  ...formatFields(),
  topic: topicField()
    .default('serial/{bridge}')
    .describe(
      'Where frames are published. `{bridge}` is the id of the bridge, any other `{name}` what ' +
        'the frame has under that name; `{talker}` and `{sentence}` of NMEA.',
    ),
  write,
};

const options = z.strictObject(shape).superRefine((value, context) => {
  for (const { key, message } of combinationProblems(value))
    context.addIssue({ code: 'custom', path: [key], message });
});

export type SerialOptions = z.output<typeof options>;

export const serialSpec = {
  type: 'serial',
  summary: 'Reads frames from a serial port, and writes commands to it.',
  options,
  create: async (value) => await (await import('./serial.ts')).createSerialBridge(value),
  decode: ({ topic, format, columns }) =>
    format === 'raw' || (format === 'csv' && columns === undefined) ? [] : ownDecodeRules(topic),
  examine: async (value, signal) =>
    await (await import('./examine.ts')).examineSerial(value, signal),
} as const satisfies BridgeSpec<typeof options>;
