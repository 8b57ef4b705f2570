import type { Logger } from 'pino';
import { resolveConfigFile } from '../../config/find-file.ts';
import { loadConfig } from '../../config/load.ts';
import type { HubConfig } from '../../config/schema.ts';
import { describeError } from '../core/errors.ts';
import type { RunningHub } from '../hub.ts';

export interface RunOptions {
  readonly config?: string;
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
  start(options: { config: HubConfig; version: string; logger: Logger }): Promise<RunningHub>;
  /** Resolves when the hub is asked to stop. */
  stopped(): Promise<string>;
}

/** `holdfast run`: the hub in the foreground, until it is told to stop. */
export async function runCommand(options: RunOptions): Promise<number> {
  const { logger, version } = options;
  const { config, file } = loadConfig(resolveConfigFile(options.config), options.env);
  const stopped = options.stopped();
  const hub = await options.start({ config, version, logger });
  const mqtt = hub.mqtt.map((address) => `mqtt://${address}`).join(', ') || 'none';
  logger.info({ config: file, data: config.hub.data_dir }, `Holdfast ${version} is ready`);
  logger.info(`console and API on ${hub.url}, MQTT on ${mqtt}`);
  const reason = await stopped;
  logger.info(`stopping (${reason}): what is under way is written first`);
  await hub.stop().catch((error) => logger.error(describeError(error)));
  return 0;
}
