import type { BridgeSpec } from '../hub/core/bridge.ts';
import { modbusSpec } from './modbus/spec.ts';
import { serialSpec } from './serial/spec.ts';
import { simulatorSpec } from './simulator/spec.ts';

/**
 * Every kind of bridge, in the order in which the documentation shows them. A new kind is one line
 * here.
 */
export const BRIDGES = [
  simulatorSpec,
  serialSpec,
  modbusSpec,
] as const satisfies readonly BridgeSpec[];
