import { chipSpec } from '../sampling/chip/chip-spec.ts';
import { channelTypeOf, USUAL_CHANNELS } from './channel-type.ts';

export const iioSpec = chipSpec({
  type: 'iio',
  summary: 'Reads sensors and converters for which the kernel has a driver of Industrial I/O.',
  examples: { name: 'bme280', parent: '1-0076', channel: 'temp' },
  channelTypeOf,
  usualChannels: USUAL_CHANNELS,
  kind: async () => (await import('./kind.ts')).IIO,
});
