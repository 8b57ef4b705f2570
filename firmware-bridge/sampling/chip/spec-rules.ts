/** What is checked of chips before they are there, and what is known of their units. */
import type { z } from 'zod';
import type { ChannelFields, ChipsFields } from './fields.ts';

/** What a channel is by its name alone; undefined: it is no name of the kernel, but a label. */
export interface ChannelType {
  readonly metric: string;
  readonly unit: string | undefined;
}
type TypeOf = (channel: string) => ChannelType | undefined;

/** A metric whose channel was given by its label is called as that. */
export function metricOf(
  { channel, metric }: ChannelFields,
  type: ChannelType | undefined,
): string {
  const asMetric = channel.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_');
  return metric ?? type?.metric ?? asMetric.replace(/^(?=\d)/, '_');
}

function unitOf({ unit, scale }: ChannelFields, type: ChannelType | undefined) {
  return unit ?? (scale === undefined ? type?.unit : undefined);
}

export function checkChips(typeOf: TypeOf) {
  return ({ chips }: ChipsFields, context: z.RefinementCtx): void => {
    const seen = new Map<string, string | undefined>();
    const readings = new Set<string>();
    const problem = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path: ['chips', ...path], message });
    for (const [i, chip] of chips.entries()) {
      if (chip.name === undefined && chip.label === undefined && chip.parent === undefined)
        problem([i], 'says of no chip which one it is: give `name`, `label` or `parent`');
      for (const [j, channel] of (chip.channels ?? []).entries()) {
        const type = typeOf(channel.channel);
        const name = metricOf(channel, type);
        const path = [i, 'channels', j];
        const reading = `${chip.device} ${name}`;
        if (readings.has(reading))
          problem([...path, 'metric'], `\`${name}\` of ${chip.device} is there a second time`);
        readings.add(reading);
        const unit = unitOf(channel, type);
        if (seen.has(name) && seen.get(name) !== unit)
          problem(
            [...path, 'unit'],
            `\`${name}\` has another unit elsewhere: one metric, one unit`,
          );
        seen.set(name, unit);
        const { min, max } = channel;
        if (min !== undefined && max !== undefined && max < min)
          problem([...path, 'max'], `is ${max}, which is less than \`min\`: ${min}`);
      }
    }
  };
}

/** Units by metric: those that the kind of chip has by itself, and those of the configuration. */
export function unitsOf(
  { chips }: ChipsFields,
  typeOf: TypeOf,
  own: readonly string[],
): Record<string, string> {
  const units = new Map<string, string>();
  const note = (metric: string, unit: string | undefined) =>
    unit === undefined ? units.delete(metric) : units.set(metric, unit);
  const types = own.flatMap((channel) => typeOf(channel) ?? []);
  for (const { metric, unit } of types) note(metric, unit);
  for (const channel of chips.flatMap(({ channels = [] }) => channels)) {
    const type = typeOf(channel.channel);
    note(metricOf(channel, type), unitOf(channel, type));
  }
  return Object.fromEntries(units);
}
