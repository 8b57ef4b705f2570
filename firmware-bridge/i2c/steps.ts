/** The configuration of a device as what is done to read it, with every default in its place. */
import { writeNumber } from '../register/number.ts';
import type { CrcPlace } from './crc.ts';
import { BLOCK_BYTES_MAX, type DeviceFields, type InitFields } from './fields.ts';
import { type Entry, entryOf } from './value.ts';

/** Bytes to write, and how long to wait afterwards. */
export interface Write {
  readonly bytes: Buffer;
  readonly delayMs: number;
}

/** Where in the bytes of a step a value begins. */
export interface Part {
  readonly at: number;
  readonly entry: Entry;
}

/**
 * One thing that is read. `trigger` is a transfer of its own; `write` goes out before the read
 * without a stop in between, or, with a `delayMs`, as a transfer of its own too.
 */
export interface Step {
  readonly trigger: Write | undefined;
  readonly write: Buffer;
  readonly delayMs: number;
  readonly read: number;
  readonly crc: CrcPlace | undefined;
  readonly parts: readonly Part[];
}

/** A register that a command may write. */
export interface WritableEntry extends Entry {
  readonly register: number;
  readonly writable: boolean;
}

/** The number of a register as it goes over the wire. */
export function registerBytes({ register_bits: bits }: DeviceFields, register: number): Buffer {
  return bits === 8 ? Buffer.from([register]) : Buffer.from([register >> 8, register & 0xff]);
}

export interface Cycle {
  readonly intervalMs: number;
  readonly steps: readonly Step[];
}

/** What is read together, one for each interval of the device. */
export function cyclesOf(device: DeviceFields, defaultMs: number): readonly Cycle[] {
  const ownMs = (interval: number | undefined) => interval ?? device.interval ?? defaultMs;
  const intervals = [...device.registers, ...device.measurements].map((one) => ownMs(one.interval));
  return [...new Set(intervals)].map((intervalMs) => ({
    intervalMs,
    steps: [
      ...registerSteps(device, (interval) => ownMs(interval) === intervalMs),
      ...measurementSteps(device, (interval) => ownMs(interval) === intervalMs),
    ],
  }));
}

type Fits = (interval: number | undefined) => boolean;

function registerSteps(device: DeviceFields, fits: Fits): Step[] {
  const registers = device.registers.filter(({ interval }) => fits(interval));
  // with triggers the order of the configuration is that of the conversions
  const ordered = device.auto_increment
    ? registers.toSorted((a, b) => a.register - b.register)
    : registers;
  const reads: RegisterRead[] = [];
  for (const { register, trigger, ...value } of ordered) {
    const entry = entryOf(value, device.byte_order);
    const last = reads.at(-1);
    const at = last && trigger === undefined ? placeIn(last, register, entry, device) : undefined;
    if (last !== undefined && at !== undefined) {
      last.length = Math.max(last.length, at + entry.bytes);
      last.parts.push({ at, entry });
    } else {
      reads.push({
        register,
        trigger: writeOf(trigger),
        length: entry.bytes,
        parts: [{ at: 0, entry }],
      });
    }
  }
  return reads.map(({ register, trigger, length, parts }) => {
    const write = registerBytes(device, register);
    return { trigger, write, delayMs: 0, read: length, crc: undefined, parts };
  });
}

interface RegisterRead {
  readonly register: number;
  readonly trigger: Write | undefined;
  length: number;
  readonly parts: Part[];
}

/** Where in the bytes of a read a register is or would come next; undefined: it is not in it. */
function placeIn(
  read: RegisterRead,
  register: number,
  { bytes }: Entry,
  { auto_increment: counts }: DeviceFields,
): number | undefined {
  const at = register - read.register;
  if (!counts) return at === 0 && bytes === read.length ? 0 : undefined;
  return at >= 0 && at <= read.length && at + bytes <= BLOCK_BYTES_MAX ? at : undefined;
}

function writeOf(trigger: { write: number[]; delay: number } | undefined): Write | undefined {
  return trigger && { bytes: Buffer.from(trigger.write), delayMs: trigger.delay };
}

function measurementSteps(device: DeviceFields, fits: Fits): Step[] {
  return device.measurements
    .filter(({ interval }) => fits(interval))
    .map(({ write = [], delay = 0, read, crc, values }) => ({
      trigger: undefined,
      write: Buffer.from(write),
      delayMs: delay,
      read,
      crc,
      parts: values.map(({ byte, ...value }) => ({
        at: byte,
        entry: entryOf(value, device.byte_order),
      })),
    }));
}

export function initWrites(device: DeviceFields): readonly Write[] {
  return device.init.map((step) => ({
    bytes: initBytes(device, step),
    delayMs: step.delay ?? 0,
  }));
}

function initBytes(device: DeviceFields, { register, value, type, write }: InitFields): Buffer {
  if (write !== undefined || register === undefined) return Buffer.from(write ?? []);
  const number = writeNumber(type, value ?? 0);
  const bytes = device.byte_order === 'little' ? Buffer.from(number).reverse() : number;
  return Buffer.concat([registerBytes(device, register), bytes]);
}

export function writableOf(device: DeviceFields): readonly WritableEntry[] {
  return device.registers.map(({ register, writable, interval: _i, trigger: _t, ...value }) => ({
    ...entryOf(value, device.byte_order),
    register,
    writable,
  }));
}

/** Ending a transfer that hangs, and starting a shell anew. */
const ENDING_MS = 2_500;

/**
 * How long reading may take: every transfer its time, the pauses, and the transfer of a command
 * that goes first.
 */
export function longestMs(
  steps: readonly Step[],
  init: readonly Write[],
  transferMs: number,
): number {
  const writes = [...init, ...steps.flatMap(({ trigger }) => trigger ?? [])];
  const pauses = [...writes, ...steps].map(({ delayMs }) => delayMs);
  const reads = steps.map(({ delayMs }) => (delayMs > 0 ? 2 : 1));
  const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
  return sum(pauses) + (1 + writes.length + sum(reads)) * transferMs + ENDING_MS;
}
