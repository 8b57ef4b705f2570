import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { Environment } from '../../config/environment.ts';
import { asId } from '../../config/fields.ts';
import { resolveConfigFile } from '../../config/find-file.ts';
import { loadConfig } from '../../config/load.ts';
import type { HubConfig } from '../../config/schema.ts';
import { HubError } from '../core/errors.ts';
import { runningHub } from '../log/inspection/running-hub.ts';
import { hasLog } from '../log/inspection/verify.ts';

/** What all `holdfast log` commands take. */
export interface LogOptions {
  /** `--config FILE`: its `hub.data_dir`. */
  readonly config?: string;
  /** `--data DIR` instead. */
  readonly data?: string;
}

export interface Output {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly env: Environment;
}

export interface LogPlace {
  readonly dataDir: string;
  readonly hubId: string;
  /** Undefined with `--data`. */
  readonly config: HubConfig | undefined;
}

/**
 * The data directory to look at. Errors: USAGE; those of the configuration; LOG_LOCKED when a hub
 * runs on it; LOG_NOT_OPEN when there is no log in it.
 */
export async function findLog(options: LogOptions, env: Environment): Promise<LogPlace> {
  if (options.config !== undefined && options.data !== undefined) {
    throw new HubError('USAGE', 'give --config or --data, not both');
  }
  const place = options.data === undefined ? configured(options, env) : bare(options.data);
  const { dataDir } = place;
  const pid = await runningHub(dataDir);
  if (pid !== undefined) {
    const who = pid > 0 ? `process ${pid}` : 'a hub';
    throw new HubError('LOG_LOCKED', `${dataDir} is in use by ${who}; this command works offline`);
  }
  if (!(await hasLog(dataDir))) {
    throw new HubError('LOG_NOT_OPEN', `there is no log in ${dataDir}`);
  }
  return place;
}

function configured(options: LogOptions, env: Environment): LogPlace {
  const { config } = loadConfig(resolveConfigFile(options.config), env);
  return { dataDir: config.hub.data_dir, hubId: config.hub.id, config };
}

function bare(folder: string): LogPlace {
  return { dataDir: resolve(folder), hubId: asId(hostname()) || 'hub', config: undefined };
}

/** What the file system refuses is for the user to correct: it is no defect of the hub. */
export async function reading<Result>(dataDir: string, work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    const isSystem = error instanceof Error && 'syscall' in error;
    if (!isSystem) throw error;
    const text = `cannot read ${dataDir}: ${error.message}`;
    throw new HubError('LOG_NOT_OPEN', text, { cause: error });
  }
}
