import { z } from 'zod';
import type { BridgeSpec } from '../../hub/core/bridge.ts';
import { chipFields } from '../sampling/chip/fields.ts';
import { checkChips, unitsOf } from '../sampling/chip/spec-rules.ts';
import { channelTypeOf, USUAL_CHANNELS } from './channel-type.ts';

const options = z
  .strictObject(
    chipFields({ name: 'lm75', parent: '1-0048', channel: 'temp1', topic: 'hwmon/{device}' }),
  )
  .superRefine(checkChips(channelTypeOf));

export const hwmonSpec = {
  type: 'hwmon',
  summary: 'Reads temperatures, voltages and fans that the kernel monitors (hwmon).',
  options,
  create: async (value) => {
    const [{ ChipBridge }, { HWMON }] = await Promise.all([
      import('../sampling/chip/chip-bridge.ts'),
      import('./kind.ts'),
    ]);
    return new ChipBridge(HWMON, value);
  },
  decode: (value) => [
    {
      topic: value.topic,
      format: 'json',
      units: unitsOf(value, channelTypeOf, USUAL_CHANNELS),
    },
  ],
  examine: async (value, signal) => (await import('./examine.ts')).examine(value, signal),
} as const satisfies BridgeSpec<typeof options>;
