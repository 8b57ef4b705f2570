/** One chip that is read through its driver, wherever the kernel has put it. */
import { kernelProblem, systemErrorName } from '../kernel-problem.ts';
import type { Value } from '../messages.ts';
import type { Reading, Sample, Sensor } from '../sensor.ts';
import type { ChannelFields, ChipFields } from './fields.ts';
import { describeWanted, matchChip } from './find-chips.ts';
import type { Channel, Chip, ChipKind } from './kind.ts';
import { metricOf } from './spec-rules.ts';

/** Only counters have more; it takes away what binary fractions add: 23.1, not 23.1000000000001. */
const DIGITS = 12;
/** As many as people read on one line. */
const LISTED_MAX = 12;

export interface ChipSensorParts {
  readonly kind: ChipKind;
  readonly key: string;
  readonly wanted: ChipFields;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly lane: string;
  /** Those that the kernel has now. */
  chips(): readonly Chip[];
}

interface Chosen {
  readonly metric: string;
  readonly fields: ChannelFields | undefined;
  readonly channel: Channel;
}

interface Known {
  readonly folder: string;
  readonly chosen: readonly Chosen[];
  readonly problems: readonly string[];
}

export class ChipSensor implements Sensor {
  readonly key: string;
  readonly device: string;
  readonly name: string;
  readonly identity: { readonly chip: string };
  readonly lane: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly #parts: ChipSensorParts;
  #known: Known | undefined;

  constructor(parts: ChipSensorParts) {
    this.#parts = parts;
    const chip = describeWanted(parts.wanted);
    this.key = parts.key;
    this.device = parts.wanted.device;
    this.name = `${this.device} (${chip})`;
    this.identity = { chip };
    this.lane = parts.lane;
    this.intervalMs = parts.intervalMs;
    this.timeoutMs = parts.timeoutMs;
  }

  async read(reading: Reading): Promise<Sample> {
    const match = matchChip(this.#parts.wanted, this.#parts.chips());
    if (match.is === 'not found') throw new Error(match.why);
    if (this.#known?.folder !== match.chip.folder) this.#known = await this.#learn(match.chip);
    const { chosen, problems } = this.#known;
    const values: (readonly [string, Value])[] = [];
    const failures: string[] = [];
    for (const one of chosen) {
      if (reading.signal.aborted) break;
      try {
        const value = finished(await one.channel.read(reading), one.fields);
        if (value !== undefined) values.push([one.metric, value]);
      } catch (error) {
        failures.push(`${one.channel.name}: ${explain(error)}`);
      }
    }
    if (failures.length > 0) this.#known = undefined; // its files may be others now
    if (failures.length === chosen.length) throw new Error(failures[0] ?? problems[0]);
    return { values, problems: [...problems, ...failures] };
  }

  async #learn(chip: Chip): Promise<Known> {
    const { kind, wanted } = this.#parts;
    const channels = await kind.channelsOf(chip);
    if (channels.length === 0)
      throw new Error(`${chip.folder} has nothing to be read, or is gone: is it plugged in?`);
    const all = (): readonly Chosen[] =>
      channels.map((channel) => ({ channel, metric: channel.metric, fields: undefined }));
    const problems: string[] = [];
    const choose = (fields: ChannelFields): readonly Chosen[] => {
      const wantedName = fields.channel;
      const byName = channels.find(({ name }) => name === wantedName);
      const channel = byName ?? channels.find(({ label }) => label === wantedName);
      // the configuration knows a label by itself only, and its units are made from that
      if (channel) return [{ channel, fields, metric: metricOf(fields, byName) }];
      const names = channels.slice(0, LISTED_MAX).map(({ name }) => name);
      problems.push(`it has no channel \`${wantedName}\`; it has ${names.join(', ')}`);
      return [];
    };
    const chosen = wanted.channels?.flatMap(choose) ?? all();
    return { folder: chip.folder, chosen, problems };
  }
}

/** Undefined: it is left out. */
function finished(measured: Value, fields: ChannelFields | undefined): Value | undefined {
  if (typeof measured !== 'number') return measured;
  const { scale = 1, offset = 0, min = -Infinity, max = Infinity } = fields ?? {};
  const value = Number((measured * scale + offset).toPrecision(DIGITS));
  return value >= min && value <= max ? value : undefined;
}

function explain(error: unknown): string {
  const path = error instanceof Error && 'path' in error ? String(error.path) : '';
  const isSystem = systemErrorName(error) !== undefined;
  if (isSystem) return kernelProblem(error, path) ?? '';
  return error instanceof Error ? error.message : String(error);
}
