import type { BridgeSpec } from '../../hub/core/bridge.ts';
import { fields, type SensorFields } from './fields.ts';

const options = fields.superRefine(({ sensors }, context) => {
  const seen = { sensor: new Set<string>(), reading: new Set<string>() };
  for (const [i, { sensor, device, metric }] of sensors.entries()) {
    const reading = `${device} ${metric}`;
    const twice = (key: keyof SensorFields, message: string) =>
      context.addIssue({ code: 'custom', path: ['sensors', i, key], message });
    if (seen.sensor.has(sensor)) twice('sensor', `names ${sensor} a second time`);
    if (seen.reading.has(reading))
      twice('device', `is another sensor's, with the same \`metric\`: name one of them otherwise`);
    seen.sensor.add(sensor);
    seen.reading.add(reading);
  }
});

export const oneWireSpec = {
  type: 'one_wire',
  summary: 'Reads DS18B20 and other 1-Wire thermometers through the kernel.',
  options,
  create: async (value) => new (await import('./one-wire.ts')).OneWireBridge(value),
  decode: ({ topic, sensors }) => {
    const metrics = ['temperature', ...sensors.map(({ metric }) => metric)];
    return [{ topic, format: 'json', units: Object.fromEntries(metrics.map((m) => [m, '°C'])) }];
  },
  examine: async (value, signal) => (await import('./examine.ts')).examine(value, signal),
} as const satisfies BridgeSpec<typeof options>;
