import { checkConfig } from '../../config/check.ts';
import type { Environment } from '../../config/environment.ts';
import { resolveConfigFile } from '../../config/find-file.ts';
import { ConfigError, renderProblem } from '../../config/problem.ts';
import type { HubConfig } from '../../config/schema.ts';
import { ERRORS } from '../core/errors.ts';

export interface CheckOptions {
  /** `--config FILE`. */
  readonly config?: string;
  readonly json: boolean;
}

/** Where a command writes. `env` is the environment of the process. */
export interface CheckIo {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  readonly env: Environment;
}

/**
 * `holdfast check`: validates the configuration as `run` would, and lets plugins check their part.
 * Returns the exit code: 0, or 78 with every problem, a line each on stderr, or as
 * `{ ok, file, problems, more }` on stdout with `--json`.
 */
export async function checkCommand(options: CheckOptions, io: CheckIo): Promise<number> {
  const source = resolveConfigFile(options.config);
  try {
    const never = new AbortController().signal;
    const { config, file } = await checkConfig(source, io.env, never);
    if (options.json) io.stdout.write(`${JSON.stringify({ ok: true, file, problems: [] })}\n`);
    else io.stdout.write(summary(config, file));
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { problems, more } = error;
    if (options.json) {
      const answer = { ok: false, file: source.file, problems, more };
      io.stdout.write(`${JSON.stringify(answer)}\n`);
    } else io.stderr.write(report(error, source.file));
    return ERRORS.CONFIG_INVALID.exitCode;
  }
}

function report({ problems, more }: ConfigError, file: string): string {
  const lines = problems.map(renderProblem);
  if (more > 0) lines.push(`and ${more} more`);
  const count = problems.length + more;
  lines.push(`${count} ${count === 1 ? 'problem' : 'problems'} in ${file}`);
  return `${lines.join('\n')}\n`;
}

function summary(config: HubConfig, file: string): string {
  const listeners = config.mqtt.listeners.map(({ type, host, port }) => `${type} ${host}:${port}`);
  const named = (items: readonly { id: string; type: string }[]) =>
    items.map(({ id, type }) => `${id} (${type})`);
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ['hub', [config.hub.id]],
    ['data', [config.hub.data_dir]],
    ['mqtt', listeners],
    ['http', [`${config.http.host}:${config.http.port}`]],
    ['bridges', named(config.bridges)],
    ['sinks', named(config.sinks)],
  ];
  const lines = rows.map(([name, values]) => `  ${name.padEnd(8)} ${values.join(', ') || 'none'}`);
  return `OK ${file}\n${lines.join('\n')}\n`;
}
