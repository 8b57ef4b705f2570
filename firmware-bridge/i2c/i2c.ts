import type { Bridge, BridgeContext } from '../../hub/core/bridge.ts';
import type { CommandOrder, CommandOutcome, CommandTaker } from '../../hub/core/command.ts';
import { describeError } from '../../hub/core/errors.ts';
import { commandValue, entryToWrite } from '../register/command-value.ts';
import { Sampler } from '../sampling/sampler.ts';
import { type Surroundings, THIS_MACHINE } from './adapter.ts';
import { Bus, type HeldGroup } from './bus.ts';
import { I2cDevice, I2cSensor } from './device.ts';
import type { I2cFields } from './fields.ts';
import { cyclesOf } from './steps.ts';
import { encode } from './value.ts';

/**
 * Devices on one I2C bus. `run` throws BRIDGE_LOST, which names the bus and what to do, when it is
 * not there, may not be used, or none of the devices answers.
 */
export class I2cBridge implements Bridge {
  readonly commands: CommandTaker;
  readonly #options: I2cFields;
  readonly #around: Surroundings;
  readonly #devices: readonly I2cDevice[];
  readonly #sampler: Sampler;
  readonly #held: HeldGroup = { group: undefined };

  constructor(options: I2cFields, around: Surroundings = THIS_MACHINE) {
    const { devices, topic, interval, timeout } = options;
    this.#options = options;
    this.#around = around;
    this.#sampler = new Sampler({ topic });
    this.#devices = devices.map((fields) => {
      const device = new I2cDevice(fields);
      for (const cycle of cyclesOf(fields, interval))
        this.#sampler.add(new I2cSensor(device, cycle, timeout));
      return device;
    });
    const names = new Set(devices.map(({ device }) => device));
    this.commands = {
      owns: (device) => names.has(device),
      carryOut: (order, sent, signal) => this.#carryOut(order, sent, signal),
    };
  }

  async run(context: BridgeContext, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { bus: wanted, timeout: timeoutMs } = this.#options;
    try {
      const bus = await Bus.open({ wanted, timeoutMs, around: this.#around, held: this.#held });
      try {
        for (const device of this.#devices) device.attach(bus);
        await this.#sampler.run(context, signal, () => bus.lost);
      } finally {
        for (const device of this.#devices) device.detach();
        await bus.close();
      }
    } catch (error) {
      this.#sampler.lost(context, describeError(error));
      throw error;
    }
  }

  async #carryOut(
    order: CommandOrder,
    sent: () => void,
    signal: AbortSignal,
  ): Promise<CommandOutcome> {
    const failed = (detail: string) => ({ state: 'failed', detail }) as const;
    const device = this.#devices.find((one) => one.device === order.device);
    if (device === undefined || !device.isAttached)
      return failed('the bus is not open; nothing was written');
    const entry = entryToWrite(order.device, order.name, device.entries);
    if ('problem' in entry) return failed(entry.problem);
    const where = `${device.name}, \`${order.name}\``;
    if (!entry.writable) return failed(`${where} is not \`writable\` in the configuration`);
    const value = commandValue(order.payload);
    if (value === undefined) return failed(`${where}: the payload is no number, true or false`);
    const encoded = encode(entry, value);
    if (!encoded.ok) return failed(`${where} ${encoded.problem}`);
    let isSent = false;
    try {
      await device.write(
        entry,
        encoded,
        () => {
          isSent = true;
          sent();
        },
        signal,
      );
      return { state: 'done' };
    } catch (error) {
      const known = isSent ? 'it may have been written or not' : 'nothing was written';
      return failed(`${where}: ${describeError(error)}; ${known}`);
    }
  }
}
