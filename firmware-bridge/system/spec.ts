import type { BridgeSpec } from '../../hub/core/bridge.ts';
import { fields } from './fields.ts';
import { UNITS } from './units.ts';

export const systemSpec = {
  type: 'system',
  summary: 'Reads the health of this machine: temperature, supply, memory, disks, network, modem.',
  options: fields,
  create: async (value) => new (await import('./system.ts')).SystemBridge(value),
  decode: ({ topic }) =>
    [topic, `${topic}/alarm`].map((one) => ({ topic: one, format: 'json', units: UNITS })),
  examine: async (value, signal) => (await import('./examine.ts')).examineSystem(value, signal),
} as const satisfies BridgeSpec<typeof fields>;
