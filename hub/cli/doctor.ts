import type { Environment } from '../../config/environment.ts';
import { resolveConfigFile } from '../../config/find-file.ts';
import { loadConfig } from '../../config/load.ts';
import { ConfigError, renderProblem } from '../../config/problem.ts';
import type { HubConfig } from '../../config/schema.ts';
import { ERRORS } from '../core/errors.ts';
import type { Finding } from '../core/finding.ts';
import { renderReport } from './doctor-report.ts';

export interface DoctorOptions {
  /** `--config FILE`. */
  readonly config?: string;
  readonly json: boolean;
}

/** Where the command writes; `columns` and `isTTY` as of a terminal. */
export interface DoctorIo {
  readonly stdout: {
    write(text: string): unknown;
    readonly columns?: number;
    readonly isTTY?: boolean;
  };
  readonly env: Environment;
}

/** Looks at the machine, and at what a configuration names when there is one. */
export type ExamineMachine = (config: HubConfig | undefined) => Promise<readonly Finding[]>;

/** What a person reads comfortably, and fits in a bug report. */
const COLUMNS = 100;

/**
 * `holdfast doctor`: what is wrong with this machine, on stdout; `{ ok, findings }` with `--json`.
 * Returns the exit code: 0, or 69 when there is a problem, also when it is the configuration that
 * has one. Changes nothing.
 */
export async function doctorCommand(
  options: DoctorOptions,
  io: DoctorIo,
  examine: ExamineMachine,
): Promise<number> {
  const loaded = load(options, io);
  const findings = [loaded.finding, ...(await examine(loaded.config))];
  const ok = findings.every(({ severity }) => severity !== 'problem');
  if (options.json) io.stdout.write(`${JSON.stringify({ ok, findings })}\n`);
  else {
    const { isTTY = false, columns = COLUMNS } = io.stdout;
    const colour = isTTY && !io.env['NO_COLOR'];
    io.stdout.write(renderReport(findings, { columns, colour }));
  }
  return ok ? 0 : ERRORS.SERVICE_UNAVAILABLE.exitCode;
}

interface Loaded {
  readonly config: HubConfig | undefined;
  readonly finding: Finding;
}

/** A wrong configuration is one problem of several: the machine is examined all the same. */
function load(options: DoctorOptions, io: DoctorIo): Loaded {
  const subject = 'configuration';
  const source = resolveConfigFile(options.config);
  try {
    const { config, file } = loadConfig(source, io.env);
    return { config, finding: { severity: 'ok', subject, detail: file } };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [first] = error.problems;
    const count = error.problems.length + error.more;
    const others = count > 1 ? ` (and ${count - 1} more)` : '';
    const detail = `${first ? renderProblem(first) : source.file}${others}`;
    const remedy =
      'holdfast check shows all (a file that may not be read: run this as the user of the hub); ' +
      'disk, ports, bridges and sinks are not examined without it';
    return { config: undefined, finding: { severity: 'problem', subject, detail, remedy } };
  }
}
