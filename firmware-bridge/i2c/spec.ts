import type { BridgeSpec } from '../../hub/core/bridge.ts';
import { fields } from './fields.ts';
import { checkDevices, valuesOf } from './rules.ts';

const options = fields.superRefine(checkDevices);

export const i2cSpec = {
  type: 'i2c',
  summary: 'Reads and writes the registers of devices on an I2C bus.',
  options,
  create: async (value) => new (await import('./i2c.ts')).I2cBridge(value),
  decode: ({ topic, devices }) => {
    const values = devices.flatMap((device) => valuesOf(device).map(({ value }) => value));
    const units = values.flatMap(({ metric, unit }) => (unit ? [[metric, unit] as const] : []));
    return [{ topic, format: 'json', units: Object.fromEntries(units) }];
  },
  examine: async (value, signal) => (await import('./examine.ts')).examineBus(value, signal),
} as const satisfies BridgeSpec<typeof options>;
