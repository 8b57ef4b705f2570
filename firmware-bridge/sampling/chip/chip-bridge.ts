import { asId } from '../../../config/fields.ts';
import type { Bridge, BridgeContext } from '../../../hub/core/bridge.ts';
import { HubError } from '../../../hub/core/errors.ts';
import { MACHINE, type MachineRoots } from '../../../hub/machine/roots.ts';
import { Sampler } from '../sampler.ts';
import { afterRealTime, repeat } from '../timer.ts';
import { ChipSensor } from './chip-sensor.ts';
import type { ChipFields, ChipsFields } from './fields.ts';
import { findChips, listed, matchChip, noChip } from './find-chips.ts';
import type { Chip, ChipKind } from './kind.ts';

/** Somebody who plugs a chip in looks at the screen for about so long. */
const LOOK_EVERY_MS = 5_000;
/** A board has some tens; one that makes new ones all the time fills no memory. */
const CHIPS_MAX = 128;

/**
 * Chips that the kernel reads. `run` throws BRIDGE_LOST when there is none, or none can be read.
 * New ones are read within seconds after the kernel has them.
 */
export class ChipBridge implements Bridge {
  readonly #kind: ChipKind;
  readonly #options: ChipsFields;
  readonly #sys: string;
  readonly #lookEveryMs: number;
  readonly #sampler: Sampler;
  #chips: readonly Chip[] = [];

  constructor(
    kind: ChipKind,
    options: ChipsFields,
    roots: Pick<MachineRoots, 'sys'> = MACHINE,
    lookEveryMs = LOOK_EVERY_MS,
  ) {
    this.#kind = kind;
    this.#options = options;
    this.#sys = roots.sys;
    this.#lookEveryMs = lookEveryMs;
    this.#sampler = new Sampler({ topic: options.topic });
  }

  async run(context: BridgeContext, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await this.#look(context);
    await this.#sampler.run(context, signal, (stopped) =>
      repeat(afterRealTime, this.#lookEveryMs, stopped, () => this.#look(context)),
    );
  }

  /** Which chips the kernel has now. */
  async #look(context: BridgeContext): Promise<void> {
    this.#chips = await findChips(this.#kind, this.#sys);
    if (this.#chips.length === 0) {
      const why = `${noChip(this.#kind, this.#options.chips)}: ${this.#kind.remedy}`;
      this.#sampler.lost(context, why);
      throw new HubError('BRIDGE_LOST', why);
    }
    const { chips } = this.#options;
    for (const [i, chip] of chips.entries()) this.#add(`chip ${i}`, chip);
    if (chips.length > 0) return;
    this.#sampler.forgetTakenAway(context.clock.monotonicMs());
    await this.#addAll();
    if (this.#sampler.sensors.length > 0) return;
    const { title, remedy } = this.#kind;
    const why = `none of the chips of ${title} measures anything (${listed(this.#chips)})`;
    throw new HubError('BRIDGE_LOST', `${why}: ${remedy}`);
  }

  /** Those that measure something: fans and batteries of others would be missed for ever. */
  async #addAll(): Promise<void> {
    const known = new Set(this.#sampler.sensors.map(({ key }) => key));
    for (const chip of this.#chips) {
      const { name, parent } = chip;
      const device = asId([name, parent].filter(Boolean).join('-'));
      if (known.has(device) || (await this.#kind.channelsOf(chip)).length === 0) continue;
      if (this.#sampler.sensors.length >= CHIPS_MAX) break;
      this.#add(device, { device, parent, ...(name === '' ? {} : { name }) });
    }
  }

  #add(key: string, wanted: ChipFields): void {
    const { interval, timeout } = this.#options;
    const match = matchChip(wanted, this.#chips);
    const parent = match.is === 'found' ? match.chip.parent : (wanted.parent ?? '');
    this.#sampler.add(
      new ChipSensor({
        kind: this.#kind,
        key,
        wanted,
        intervalMs: wanted.interval ?? interval,
        timeoutMs: timeout,
        lane: busOf(parent),
        chips: () => this.#chips,
      }),
    );
  }
}

/** `1` of `1-0076`, `spi0` of `spi0.0`: what the chips of one bus have in common. */
function busOf(parent: string): string {
  return parent.replace(/[-.].*$/, '');
}
