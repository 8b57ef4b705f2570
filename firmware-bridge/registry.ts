import type { BridgeSpec } from '../hub/core/bridge.ts';
import { execSpec } from './exec/spec.ts';
import { gpioSpec } from './gpio/spec.ts';
import { hwmonSpec } from './hwmon/spec.ts';
import { i2cSpec } from './i2c/spec.ts';
import { iioSpec } from './iio/spec.ts';
import { modbusSpec } from './modbus/spec.ts';
import { oneWireSpec } from './one_wire/spec.ts';
import { pluginSpec } from './plugin/spec.ts';
import { serialSpec } from './serial/spec.ts';
import { simulatorSpec } from './simulator/spec.ts';
import { systemSpec } from './system/spec.ts';

/**
 * Every kind of bridge, in the order in which the documentation shows them. A new kind is one line
 * here.
 */
export const BRIDGES = [
  simulatorSpec,
  serialSpec,
  modbusSpec,
  gpioSpec,
  i2cSpec,
  execSpec,
  pluginSpec,
  oneWireSpec,
  iioSpec,
  hwmonSpec,
  systemSpec,
] as const satisfies readonly BridgeSpec[];
