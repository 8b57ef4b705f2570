import { resolve } from 'node:path';
import type { Environment } from './environment.ts';
import { type Expanded, expandDocument } from './expand.ts';
import { type Finding, findings } from './explain.ts';
import { Secret } from './fields.ts';
import { baseDirOf, type ConfigSource } from './find-file.ts';
import { ConfigError, type ConfigProblem, renderKey } from './problem.ts';
import { violations } from './rules.ts';
import { type HubConfig, schema } from './schema.ts';
import { parseYaml, readConfigText, type YamlSource } from './yaml-source.ts';

export interface LoadedConfig {
  readonly config: HubConfig;
  /** As it was named, for messages. */
  readonly file: string;
}

/**
 * Reads and validates a configuration. Throws ConfigError, a HubError CONFIG_UNREADABLE or
 * CONFIG_INVALID, with every problem of the file at once. The result is frozen.
 */
export function loadConfig(source: ConfigSource, env: Environment): LoadedConfig {
  const text = readConfigText(source.file);
  return { config: parseConfig(text, source, env), file: source.file };
}

/** `loadConfig` for text that is already read; `source` names it and says where paths start. */
export function parseConfig(text: string, source: ConfigSource, env: Environment): HubConfig {
  const yaml = parseYaml(source.file, text);
  const baseDir = baseDirOf(source);
  const { document, problemAt } = yaml;
  const expanded = expandDocument({ document, text, schema, env, baseDir, problemAt });
  const problems = collect(yaml, expanded);
  if (problems.length > 0) throw new ConfigError('CONFIG_INVALID', problems);
  const config = schema.parse(expanded.data);
  config.hub.data_dir = resolve(baseDir, config.hub.data_dir);
  return freeze(config);
}

/** Everything that is wrong, in the order of the file. */
function collect(yaml: YamlSource, expanded: Expanded): ConfigProblem[] {
  const { found, meant } = findings({ ...expanded, schema, problemAt: yaml.problemAt });
  const problems = [...yaml.problems, ...expanded.problems];
  problems.push(...believable(found, yaml, problems));
  // With the syntax broken, what two keys say to each other may not be what they were to say.
  if (yaml.brokenFromLine === undefined)
    problems.push(...brokenRules(yaml, expanded, problems, meant));
  return problems.map((problem) => withoutSecrets(problem, expanded.secrets)).sort(inOrder);
}

/**
 * After a mistake in the syntax the structure below it is not what was meant, and what seems to be
 * missing may only have been lost. After a variable that is not set, its key is not there either.
 */
function believable(
  found: readonly Finding[],
  { brokenFromLine }: YamlSource,
  known: readonly ConfigProblem[],
): ConfigProblem[] {
  const keys = new Set(known.map((problem) => problem.key));
  return found
    .filter(({ absent, problem }) => {
      if (brokenFromLine !== undefined && (absent || problem.line >= brokenFromLine)) return false;
      return problem.key === '' || !keys.has(problem.key);
    })
    .map(({ problem }) => problem);
}

function brokenRules(
  { problemAt }: YamlSource,
  { data, places }: Expanded,
  known: readonly ConfigProblem[],
  meant: ReadonlySet<string>,
): ConfigProblem[] {
  const keys = new Set([...known.map(({ key }) => key), ...meant]);
  return violations(data)
    .filter(({ path }) => !keys.has(renderKey(path)))
    .map(({ path, message, hint }) =>
      problemAt(places.valueOffset(path), renderKey(path), message, hint),
    );
}

function inOrder(a: ConfigProblem, b: ConfigProblem): number {
  return a.line - b.line || a.column - b.column;
}

/** Shorter ones would be found in every other word, and are no secrets. */
const SECRET_CHARACTERS_MIN = 4;

/** No message is made of a secret; this is for the day when one is. */
function withoutSecrets(problem: ConfigProblem, secrets: readonly string[]): ConfigProblem {
  const clean = (text: string): string =>
    secrets
      .filter((text) => text.length >= SECRET_CHARACTERS_MIN)
      .reduce((rest, found) => rest.replaceAll(found, '[secret]'), text);
  const { key, message, hint } = problem;
  return {
    ...problem,
    key: clean(key),
    message: clean(message),
    ...(hint === undefined ? {} : { hint: clean(hint) }),
  };
}

function freeze<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || value instanceof Secret) return value;
  for (const item of Object.values(value)) freeze(item);
  return Object.freeze(value);
}
