import { z } from 'zod';
import type { BridgeSpec } from '../../hub/core/bridge.ts';
import { chipFields } from '../sampling/chip/fields.ts';
import { checkChips, unitsOf } from '../sampling/chip/spec-rules.ts';
import { channelTypeOf, USUAL_CHANNELS } from './channel-type.ts';

const options = z
  .strictObject(
    chipFields({ name: 'bme280', parent: '1-0076', channel: 'temp', topic: 'iio/{device}' }),
  )
  .superRefine(checkChips(channelTypeOf));

export const iioSpec = {
  type: 'iio',
  summary: 'Reads sensors and converters for which the kernel has a driver of Industrial I/O.',
  options,
  create: async (value) => {
    const [{ ChipBridge }, { IIO }] = await Promise.all([
      import('../sampling/chip/chip-bridge.ts'),
      import('./kind.ts'),
    ]);
    return new ChipBridge(IIO, value);
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
