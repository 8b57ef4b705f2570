import { pino } from 'pino';
import { z } from 'zod';
import { ModbusBridge } from '../../firmware-bridge/modbus/modbus.ts';
import { modbusSpec } from '../../firmware-bridge/modbus/spec.ts';
import { systemClock } from '../../hub/clock/system-clock.ts';
import type { BridgeContext } from '../../hub/core/bridge.ts';
import type { CommandOutcome } from '../../hub/core/command.ts';
import { until } from './until.ts';

const json = z.record(z.string(), z.union([z.number(), z.string(), z.boolean()]));
export type ModbusValues = Readonly<z.output<typeof json>>;

export interface SeenMessage {
  readonly topic: string;
  readonly kind: string;
  readonly values: ModbusValues;
  /** Monotonic, in ms. */
  readonly atMs: number;
}

/** A modbus bridge that runs, and what it hands over. It is run again as the hub does it. */
export class ModbusSession {
  readonly bridge: ModbusBridge;
  readonly messages: SeenMessage[] = [];
  readonly losses: string[] = [];
  detail: string | undefined;
  connections = 0;
  bad = 0;
  /** What `accept` waits for. */
  gate: () => Promise<void> = async () => {};
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: object) {
    this.bridge = new ModbusBridge(modbusSpec.options.parse(options));
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  of(device: string): SeenMessage[] {
    return this.messages.filter(({ topic }) => topic === `modbus/${device}`);
  }

  gaps(): SeenMessage[] {
    return this.messages.filter(({ kind }) => kind === 'hub.health');
  }

  /** Waits for a message of `device` that comes from now on and for which `holds`. */
  async next(device: string, holds: (values: ModbusValues) => boolean = () => true) {
    const before = this.of(device).length;
    const found = () =>
      this.of(device)
        .slice(before)
        .find(({ values }) => holds(values));
    await until(`a message of ${device}`, () => found() !== undefined);
    return found()?.values ?? {};
  }

  command(device: string, name: string, payload: string): Promise<CommandOutcome> {
    const order = { id: 'c', device, name, payload: Buffer.from(payload) };
    return this.bridge.commands.carryOut(order, () => {}, AbortSignal.timeout(10_000));
  }

  async #run(): Promise<void> {
    const context: BridgeContext = {
      id: 'bus',
      clock: systemClock(),
      random: Math.random,
      logger: pino({ level: 'silent' }),
      connected: () => {
        this.connections += 1;
      },
      describe: (detail) => {
        this.detail = detail;
      },
      badFrames: (_, count) => {
        this.bad += count;
      },
      loadState: async () => new Map(),
      accept: async ({ topic, payload, kind = 'message' }) => {
        const values = json.parse(JSON.parse(payload.toString()));
        this.messages.push({ topic, kind, values, atMs: performance.now() });
        await this.gate();
      },
    };
    while (!this.#stop.signal.aborted) {
      try {
        await this.bridge.run(context, this.#stop.signal);
      } catch (error) {
        this.losses.push(String(error));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }
}
