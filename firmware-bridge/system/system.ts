import type { Bridge, BridgeContext } from '../../hub/core/bridge.ts';
import type { Clock } from '../../hub/core/clock.ts';
import { MACHINE, type MachineRoots } from '../../hub/machine/roots.ts';
import { readLowVoltage } from '../../hub/machine/throttled.ts';
import { HandOver } from '../sampling/hand-over.ts';
import { topicOf } from '../sampling/messages.ts';
import { Sampler } from '../sampling/sampler.ts';
import type { Reading, Sample, Sensor } from '../sampling/sensor.ts';
import { afterRealTime, sleep } from '../sampling/timer.ts';
import { Cpu } from './cpu.ts';
import { readDisks } from './disk.ts';
import { deviceOf, type Section, type SystemOptions } from './fields.ts';
import { readMemory } from './memory.ts';
import { Modem } from './modem.ts';
import { readNetwork } from './network.ts';
import { readPower } from './power.ts';
import type { Values } from './values.ts';

/** A driver may be loaded later than the hub starts. */
const LOOK_AGAIN_MS = 60_000;
/** More than mmcli may take for its two answers. */
const TIMEOUT_MS = 25_000;

/** Where the machine is looked at; other folders and programs in tests. */
export interface SystemSurroundings {
  readonly roots: MachineRoots;
  readonly vcgencmd: string;
  readonly mmcli: string;
}

const THIS_MACHINE: SystemSurroundings = { roots: MACHINE, vcgencmd: 'vcgencmd', mmcli: 'mmcli' };

/**
 * The machine that the hub runs on. Each section is read by itself, so that a modem that takes its
 * time, or a file system that hangs, holds up nothing else. Under-voltage is looked for more often,
 * and told at once.
 */
export class SystemBridge implements Bridge {
  readonly #options: SystemOptions;
  readonly #around: SystemSurroundings;
  readonly #sampler: Sampler;
  readonly #handOver = new HandOver();
  readonly #cpu: Cpu;
  readonly #modem: Modem;
  #clock: Clock | undefined;

  constructor(options: SystemOptions, around: SystemSurroundings = THIS_MACHINE) {
    this.#options = options;
    this.#around = around;
    this.#cpu = new Cpu(around.roots);
    this.#modem = new Modem(around.mmcli);
    this.#sampler = new Sampler({ topic: options.topic });
    for (const section of new Set(options.include)) this.#sampler.add(this.#sensor(section));
  }

  async run(context: BridgeContext, signal: AbortSignal): Promise<void> {
    this.#clock = context.clock;
    await this.#sampler.run(context, signal, (stopped) => this.#watchPower(context, stopped));
  }

  #sensor(section: Section): Sensor {
    const device = deviceOf(this.#options);
    return {
      key: section,
      device,
      name: `${device} ${section}`,
      identity: { section },
      lane: section,
      intervalMs: this.#options.interval,
      timeoutMs: TIMEOUT_MS,
      pauseMs: this.#options.interval,
      read: (reading) => this.#read(section, reading),
    };
  }

  async #read(section: Section, { signal }: Reading): Promise<Sample> {
    const { roots } = this.#around;
    const simple = async (values: Promise<Values>) => ({ values: await values });
    switch (section) {
      case 'cpu':
        return await simple(this.#cpu.read());
      case 'memory':
        return await simple(readMemory(roots));
      case 'disk':
        return await readDisks(this.#options.disks, roots, signal);
      case 'network':
        return await readNetwork(this.#options, roots);
      case 'power':
        return await simple(readPower(this.#around, signal));
      case 'modem':
        return await simple(this.#modem.read(this.#clock?.monotonicMs() ?? 0, signal));
    }
  }

  /** Until the signal aborts. Tells when under-voltage begins and when it is over. */
  async #watchPower(context: BridgeContext, signal: AbortSignal): Promise<void> {
    const { include, power_interval: pauseMs } = this.#options;
    if (!include.includes('power')) return;
    let before = false;
    while (!signal.aborted) {
      const low = await readLowVoltage(this.#around.roots);
      if (low !== undefined && low !== before) await this.#tell(context, low, signal);
      before = low ?? before;
      await sleep(afterRealTime, low === undefined ? LOOK_AGAIN_MS : pauseMs, signal);
    }
  }

  async #tell(context: BridgeContext, low: boolean, signal: AbortSignal): Promise<void> {
    const { clock, accept, logger } = context;
    const time = clock.synced() ? { time: clock.wallMs() } : {};
    const payload = Buffer.from(JSON.stringify({ ...time, under_voltage: low }));
    const topic = `${topicOf(this.#options.topic, deviceOf(this.#options))}/alarm`;
    if (low) logger.warn('under-voltage: the supply of this machine gives too little');
    else logger.info('the supply gives enough again');
    await this.#handOver.give(accept, { topic, payload, kind: 'alarm' }, signal);
  }
}
