import { z } from 'zod';
import type { BridgeSpec } from '../../../hub/core/bridge.ts';
import { chipFields, type Examples } from './fields.ts';
import type { ChipKind } from './kind.ts';
import { type ChannelType, checkChips, unitsOf } from './spec-rules.ts';

interface ChipSpecParts<Type extends string> {
  readonly type: Type;
  readonly summary: string;
  readonly examples: Omit<Examples, 'topic'>;
  readonly channelTypeOf: (channel: string) => ChannelType | undefined;
  /** Names of the channels that chips without `channels` are known to have. */
  readonly usualChannels: readonly string[];
  /** Loads the rest, when such a bridge is configured. */
  readonly kind: () => Promise<ChipKind>;
}

/** The spec of a bridge that reads chips through drivers of the kernel. */
export function chipSpec<const Type extends string>({
  type,
  summary,
  examples,
  channelTypeOf,
  usualChannels,
  kind,
}: ChipSpecParts<Type>) {
  const options = z
    .strictObject(chipFields({ ...examples, topic: `${type}/{device}` }))
    .superRefine(checkChips(channelTypeOf));
  return {
    type,
    summary,
    options,
    create: async (value) => {
      const { ChipBridge } = await import('./chip-bridge.ts');
      return new ChipBridge(await kind(), value);
    },
    decode: (value) => {
      const units = unitsOf(value, channelTypeOf, usualChannels);
      return [{ topic: value.topic, format: 'json', units }];
    },
    examine: async (value, signal) => {
      const { examineChips } = await import('./examine-chips.ts');
      return await examineChips(await kind(), value, signal);
    },
  } as const satisfies BridgeSpec<typeof options>;
}
