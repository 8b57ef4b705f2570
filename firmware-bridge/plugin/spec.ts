import { z } from 'zod';
import { bytes } from '../../config/fields.ts';
import type { BridgeSpec } from '../../hub/core/bridge.ts';

const PATH_CHARACTERS_MAX = 4_096;

const options = z.strictObject({
  file: z
    .string()
    .min(1)
    .max(PATH_CHARACTERS_MAX)
    .meta({ examples: ['./my-bridge.mjs'] })
    .describe('The module of the plugin, relative to the configuration file. See docs/plugin.md.'),
  options: z
    .record(z.string(), z.unknown().meta({ title: 'any value' }))
    .default({})
    .meta({ examples: [{ address: 64 }] })
    .describe('What the plugin is given, and checks itself.'),
  heap_max: bytes({ min: '16 MiB', max: '2 GiB' })
    .prefault('64 MiB')
    .describe('A plugin that needs more memory than this for its objects is ended.'),
});

export const pluginSpec = {
  type: 'plugin',
  summary: 'Runs a bridge of your own from a file, in a process of its own.',
  options,
  create: async (value) => new (await import('./plugin.ts')).PluginBridge(value),
  decode: () => [{ topic: 'plugin/{device}', format: 'json', units: {} }],
  check: async (value, signal) => await (await import('./check.ts')).checkPlugin(value, signal),
  examine: async (value, signal) => await (await import('./examine.ts')).examine(value, signal),
} as const satisfies BridgeSpec<typeof options>;
