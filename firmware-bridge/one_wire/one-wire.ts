import type { Bridge, BridgeContext } from '../../hub/core/bridge.ts';
import { HubError } from '../../hub/core/errors.ts';
import { MACHINE, type MachineRoots } from '../../hub/machine/roots.ts';
import { Sampler } from '../sampling/sampler.ts';
import { afterRealTime, repeat } from '../sampling/timer.ts';
import { type Buses, findBuses, NO_BUS, NO_SENSOR } from './bus.ts';
import { BulkConversion } from './conversion.ts';
import { type OneWireFields, SENSORS_MAX } from './fields.ts';
import { type Place, Thermometer } from './thermometer.ts';

/** The kernel itself looks every 10 s who is on the bus. */
const LOOK_EVERY_MS = 5_000;
/** Without a bulk conversion each takes so long, at 12 bits. */
const CONVERSION_MS = 800;

/**
 * The thermometers on the 1-Wire buses of the kernel. `run` throws BRIDGE_LOST when there is no
 * bus, or no sensor answers. New ones are read within seconds after the kernel has found them.
 */
export class OneWireBridge implements Bridge {
  readonly #options: OneWireFields;
  readonly #sys: string;
  readonly #lookEveryMs: number;
  readonly #sampler: Sampler;
  readonly #conversions = new Map<string, BulkConversion>();
  #buses: Buses = new Map();
  /** Thermometers for which there is no room. */
  #notRead = 0;

  constructor(
    options: OneWireFields,
    roots: Pick<MachineRoots, 'sys'> = MACHINE,
    lookEveryMs = LOOK_EVERY_MS,
  ) {
    this.#options = options;
    this.#sys = roots.sys;
    this.#lookEveryMs = lookEveryMs;
    this.#sampler = new Sampler({ topic: options.topic, notes: () => this.#notes() });
  }

  async run(context: BridgeContext, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await this.#look(context);
    if (this.#sampler.sensors.length === 0) throw new HubError('BRIDGE_LOST', NO_SENSOR);
    await this.#sampler.run(context, signal, (stopped) =>
      repeat(afterRealTime, this.#lookEveryMs, stopped, () => this.#look(context)),
    );
  }

  /** Who is on the buses now. */
  async #look(context: BridgeContext): Promise<void> {
    const buses = await findBuses(this.#sys);
    this.#buses = buses;
    if (buses.size === 0) {
      this.#sampler.lost(context, NO_BUS);
      throw new HubError('BRIDGE_LOST', NO_BUS);
    }
    const { sensors, discover = sensors.length === 0 } = this.#options;
    const named = new Set(sensors.map(({ sensor }) => sensor));
    const isKept = (id: string) => named.has(id) || this.#place(id) !== undefined;
    this.#sampler.forgetTakenAway(context.clock.monotonicMs(), isKept);
    for (const { sensor, ...rest } of sensors) this.#add(context, { id: sensor, ...rest });
    if (!discover) return;
    const known = new Set(this.#sampler.sensors.map(({ key }) => key));
    const found = [...buses.values()].flat().filter((id) => !known.has(id));
    const room = SENSORS_MAX - known.size;
    for (const id of found.slice(0, room))
      this.#add(context, { id, device: id, metric: 'temperature', offset: 0 });
    this.#notRead = Math.max(0, found.length - room);
  }

  #add(
    context: BridgeContext,
    sensor: {
      readonly id: string;
      readonly device: string;
      readonly metric: string;
      readonly offset: number;
      readonly interval?: number | undefined;
    },
  ): void {
    const { interval, timeout, resolution } = this.#options;
    const [firstMaster = ''] = this.#buses.keys();
    this.#sampler.add(
      new Thermometer({
        ...sensor,
        intervalMs: sensor.interval ?? interval,
        timeoutMs: timeout,
        resolution,
        clock: context.clock,
        lane: this.#place(sensor.id)?.master ?? firstMaster,
        place: () => this.#place(sensor.id),
      }),
    );
  }

  #place(id: string): Place | undefined {
    for (const [master, all] of this.#buses) {
      if (!all.includes(id)) continue;
      const conversion = this.#conversions.get(master) ?? new BulkConversion(master);
      this.#conversions.set(master, conversion);
      return { master, all, conversion };
    }
    return undefined;
  }

  #notes(): readonly string[] {
    const { interval } = this.#options;
    const tooMany = `${this.#notRead} more sensors are not read: a bridge reads ${SENSORS_MAX}`;
    const slow = [...this.#buses].flatMap(([master, all]) => {
      const isSlow = all.length * CONVERSION_MS > interval;
      if (!isSlow || this.#conversions.get(master)?.state !== 'denied') return [];
      return [
        `${master}/therm_bulk_read may be written by root only, so the ${all.length} sensors ` +
          'convert one after the other: see the README of the bridge',
      ];
    });
    return [...(this.#notRead > 0 ? [tooMany] : []), ...slow];
  }
}
