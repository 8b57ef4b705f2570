import { chipSpec } from '../sampling/chip/chip-spec.ts';
import { channelTypeOf, USUAL_CHANNELS } from './channel-type.ts';

export const hwmonSpec = chipSpec({
  type: 'hwmon',
  summary: 'Reads temperatures, voltages and fans that the kernel monitors (hwmon).',
  examples: { name: 'lm75', parent: '1-0048', channel: 'temp1' },
  channelTypeOf,
  usualChannels: USUAL_CHANNELS,
  kind: async () => (await import('./kind.ts')).HWMON,
});
