import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Environment } from '../../config/environment.ts';
import { parseConfig } from '../../config/load.ts';
import { ConfigError, renderProblem } from '../../config/problem.ts';
import type { HubConfig } from '../../config/schema.ts';

const SOURCE = { file: 'test.yaml', baseDir: join(tmpdir(), 'holdfast-no-such-folder') };

/** The configuration that `text` is. */
export function parsed(text: string, env: Environment = {}): HubConfig {
  return parseConfig(text, SOURCE, env);
}

/** Every problem of `text` as `line:column  key — message (hint)`; empty when it is valid. */
export function problemsOf(text: string, env: Environment = {}): string[] {
  try {
    parseConfig(text, SOURCE, env);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((problem) => renderProblem(problem).replace(/^test\.yaml:/, ''));
  }
}
