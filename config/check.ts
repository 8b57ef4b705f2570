import { BRIDGES } from '../firmware-bridge/registry.ts';
import type { BridgeSpec } from '../hub/core/bridge.ts';
import type { Environment } from './environment.ts';
import { expandDocument } from './expand.ts';
import { baseDirOf, type ConfigSource } from './find-file.ts';
import { type LoadedConfig, parseConfig } from './load.ts';
import { ConfigError, type ConfigProblem, renderKey } from './problem.ts';
import { type HubConfig, schema } from './schema.ts';
import { parseYaml, readConfigText } from './yaml-source.ts';

/**
 * As loadConfig, and then asks what only shows when one looks further than the file: whether a
 * plugin loads and what it says of its options. Throws what loadConfig throws.
 */
export async function checkConfig(
  source: ConfigSource,
  env: Environment,
  signal: AbortSignal,
): Promise<LoadedConfig> {
  const text = readConfigText(source.file);
  const config = parseConfig(text, source, env);
  const problems = await furtherProblems(config, placer(text, source, env), signal);
  if (problems.length > 0) throw new ConfigError('CONFIG_INVALID', problems);
  return { config, file: source.file };
}

type PlaceOf = (path: readonly (string | number)[], message: string) => ConfigProblem;

/** Where in the text something is. The text is known to be valid. */
function placer(text: string, source: ConfigSource, env: Environment): PlaceOf {
  const { document, problemAt } = parseYaml(source.file, text);
  const baseDir = baseDirOf(source);
  const { places } = expandDocument({ document, text, schema, env, baseDir, problemAt });
  return (path, message) => problemAt(places.valueOffset(path), renderKey(path), message);
}

async function furtherProblems(
  { bridges }: HubConfig,
  placeOf: PlaceOf,
  signal: AbortSignal,
): Promise<ConfigProblem[]> {
  const found: ConfigProblem[] = [];
  // one after the other: each may take the memory of a whole process
  for (const [i, bridge] of bridges.entries()) {
    const spec: BridgeSpec | undefined = BRIDGES.find(({ type }) => type === bridge.type);
    const problems = (await spec?.check?.(bridge, signal)) ?? [];
    found.push(...problems.map(({ path, message }) => placeOf(['bridges', i, ...path], message)));
  }
  return found;
}
