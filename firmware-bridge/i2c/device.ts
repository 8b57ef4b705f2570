/**
 * One device on the bus. Invariants: it is not read before its `init` has been written, and after
 * anything of it failed `init` is written again, because what was without power has forgotten it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Reading, Sample, Sensor } from '../sampling/sensor.ts';
import { type Bus, TransferError } from './bus.ts';
import { checkedPayload } from './crc.ts';
import type { DeviceFields } from './fields.ts';
import {
  type Cycle,
  initWrites,
  longestMs,
  registerBytes,
  type Step,
  type WritableEntry,
  type Write,
  writableOf,
} from './steps.ts';
import { bytesToWrite, type Encoded, valuesIn, wholeMask } from './value.ts';

export class I2cDevice {
  readonly device: string;
  readonly entries: readonly WritableEntry[];
  readonly #fields: DeviceFields;
  readonly #init: readonly Write[];
  #isReady = false;
  #bus: Bus | undefined;

  constructor(fields: DeviceFields) {
    this.#fields = fields;
    this.device = fields.device;
    this.entries = writableOf(fields);
    this.#init = initWrites(fields);
  }

  get init(): readonly Write[] {
    return this.#init;
  }

  get address(): string {
    return `0x${this.#fields.address.toString(16)}`;
  }

  /** For people: `climate (0x44 on i2c-1)`. */
  get name(): string {
    const bus = this.#bus === undefined ? '' : ` on ${this.#bus.name}`;
    return `${this.device} (${this.address}${bus})`;
  }

  /** The bus is open from here on. */
  attach(bus: Bus): void {
    this.#bus = bus;
    this.#isReady = false;
  }

  detach(): void {
    this.#bus = undefined;
  }

  get isAttached(): boolean {
    return this.#bus !== undefined;
  }

  /** Throws TransferError when it does not answer. */
  async read(steps: readonly Step[], { signal, badFrames }: Reading): Promise<Sample> {
    return await this.#guarded(async () => {
      const values: Sample['values'][number][] = [];
      for (const step of steps) {
        signal.throwIfAborted();
        const payload = checkedPayload(await this.#read(step, signal), step.crc);
        if (payload === undefined) {
          badFrames('checksum', 1);
          throw new TransferError('its checksum is wrong: check its wires, and keep them short');
        }
        for (const { at, entry } of step.parts)
          values.push(...valuesIn(entry, payload.subarray(at, at + entry.bytes)));
      }
      return { values };
    }, signal);
  }

  /** Throws TransferError when it does not answer; then nobody knows whether it was written. */
  async write(
    entry: WritableEntry,
    value: Encoded & { ok: true },
    sent: () => void,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#guarded(async () => {
      const at = registerBytes(this.#fields, entry.register);
      const isPart = value.mask !== wholeMask(entry);
      const before = isPart ? await this.#transfer(at, entry.bytes) : undefined;
      sent();
      await this.#transfer(Buffer.concat([at, bytesToWrite(entry, value, before)]), 0);
    }, signal);
  }

  async #guarded<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      if (!this.#isReady) await this.#start(signal);
      return await work();
    } catch (error) {
      this.#isReady = false;
      throw error;
    }
  }

  async #start(signal: AbortSignal): Promise<void> {
    for (const write of this.#init) await this.#writeAndWait(write, signal);
    this.#isReady = true;
  }

  async #read({ trigger, write, delayMs, read }: Step, signal: AbortSignal): Promise<Buffer> {
    if (trigger) await this.#writeAndWait(trigger, signal);
    if (delayMs === 0) return await this.#transfer(write, read);
    await this.#writeAndWait({ bytes: write, delayMs }, signal);
    return await this.#transfer(Buffer.alloc(0), read);
  }

  async #writeAndWait({ bytes, delayMs }: Write, signal: AbortSignal): Promise<void> {
    if (bytes.length > 0) await this.#transfer(bytes, 0);
    if (delayMs > 0) await delay(delayMs, undefined, { signal });
  }

  async #transfer(write: Buffer, read: number): Promise<Buffer> {
    if (this.#bus === undefined) throw new TransferError('the bus is not open');
    return await this.#bus.transfer({ address: this.#fields.address, write, read });
  }
}

/** What of a device is read at one interval. */
export class I2cSensor implements Sensor {
  readonly key: string;
  readonly device: string;
  readonly identity: { readonly address: string };
  readonly lane = 'bus';
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly pauseMs: number;
  readonly #of: I2cDevice;
  readonly #cycle: Cycle;

  constructor(of: I2cDevice, cycle: Cycle, transferMs: number) {
    this.#of = of;
    this.#cycle = cycle;
    this.key = `${of.device} ${cycle.intervalMs}`;
    this.device = of.device;
    this.identity = { address: of.address };
    this.intervalMs = cycle.intervalMs;
    this.pauseMs = Math.min(cycle.intervalMs, transferMs);
    this.timeoutMs = longestMs(cycle.steps, of.init, transferMs);
  }

  get name(): string {
    return this.#of.name;
  }

  async read(reading: Reading): Promise<Sample> {
    return await this.#of.read(this.#cycle.steps, reading);
  }
}
