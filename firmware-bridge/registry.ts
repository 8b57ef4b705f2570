import type { BridgeSpec } from '../hub/core/bridge.ts';
import { simulatorSpec } from './simulator/spec.ts';

/**
 * Every kind of bridge, in the order in which the documentation shows them. A new kind is one line
 * here.
 */
export const BRIDGES = [simulatorSpec] as const satisfies readonly BridgeSpec[];
