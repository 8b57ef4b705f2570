import type { BridgeSpec } from '../../hub/core/bridge.ts';
import { fields } from './fields.ts';
import { checkLines, metricsOf } from './line-rules.ts';

const options = fields.superRefine(checkLines);

export const gpioSpec = {
  type: 'gpio',
  summary: 'Reads, counts and sets the GPIO lines of the Pi and of other chips of the kernel.',
  options,
  create: async (value) => new (await import('./gpio.ts')).GpioBridge(value),
  decode: ({ topic, lines }) => {
    const units = lines
      .flatMap(metricsOf)
      .flatMap(({ metric, unit }) => (unit ? [[metric, unit] as const] : []));
    return [{ topic, format: 'json', units: Object.fromEntries(units) }];
  },
  examine: async (value, signal) => (await import('./examine.ts')).examine(value, signal),
} as const satisfies BridgeSpec<typeof options>;
