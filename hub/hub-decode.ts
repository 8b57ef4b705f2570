import type { HubConfig } from '../config/schema.ts';
import { BRIDGES } from '../firmware-bridge/registry.ts';
import type { BridgeSpec } from './core/bridge.ts';
import type { DecodeRule } from './process/decode/rule.ts';

/** The rules of the configuration, and after them what the bridges know of their own messages. */
export function decodeRules(config: HubConfig): readonly DecodeRule[] {
  const own = config.bridges.flatMap((bridge) => {
    const spec: BridgeSpec | undefined = BRIDGES.find(({ type }) => type === bridge.type);
    return spec?.decode?.(bridge) ?? [];
  });
  return [...config.decode, ...own];
}
