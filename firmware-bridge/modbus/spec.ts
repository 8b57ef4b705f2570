import type { BridgeSpec } from '../../hub/core/bridge.ts';
import { fields } from './fields.ts';
import { checkMap } from './register-rules.ts';

const options = fields.superRefine(checkMap);

export const modbusSpec = {
  type: 'modbus',
  summary: 'Reads and writes Modbus slaves over a serial line (RTU) or a network (TCP).',
  options,
  create: async (value) => new (await import('./modbus.ts')).ModbusBridge(value),
  examine: async ({ transport }, signal) =>
    await (await import('./examine.ts')).examineLine(transport, signal),
  decode: ({ topic, slaves }) => {
    const registers = slaves.flatMap((slave) => slave.registers);
    const units = registers.flatMap(({ metric, unit }) => (unit ? [[metric, unit] as const] : []));
    return [{ topic, format: 'json', units: Object.fromEntries(units) }];
  },
} as const satisfies BridgeSpec<typeof options>;
