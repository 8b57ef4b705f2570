import type { Command } from 'commander';
import type { HubConfig } from '../../config/schema.ts';
import type { Decode } from '../core/event.ts';
import { logExportCommand } from './log-export.ts';
import type { Output } from './log-options.ts';
import { logStatsCommand } from './log-stats.ts';
import { logVerifyCommand } from './log-verify.ts';

export interface LogCommandParts {
  /** `--config` as every command has it. */
  readonly configOption: readonly [flags: string, description: string];
  readonly io: Output;
  exit(code: number): void;
  decoder(config: HubConfig | undefined): Decode;
}

const DATA_OPTION = ['--data <dir>', 'this data directory, without a configuration'] as const;

const VERIFY_HELP = `
Exit codes: 0 whole, 1 damaged, 73 it cannot be read or a hub runs on it.`;

const EXPORT_HELP = `
Times are those of arrival, as 2026-07-01T12:00:00Z; --from is included, --to is not.
What lies in lost+found is of logs that were set aside and of files that were damaged; only what
has a good checksum is exported.`;

/** `holdfast log verify|stats|export`: offline, and changing nothing. */
export function addLogCommand(program: Command, parts: LogCommandParts): void {
  const { configOption, io, exit, decoder } = parts;
  const log = program
    .command('log')
    .description('look into a data directory while no hub runs on it; nothing is changed');
  log
    .command('verify')
    .description('find every damaged or missing part of the log')
    .option(...configOption)
    .option(...DATA_OPTION)
    .option('--json', 'print the result as JSON', false)
    .addHelpText('after', VERIFY_HELP)
    .action(async (options) => exit(await logVerifyCommand(options, io)));
  log
    .command('stats')
    .description('lanes, sinks, losses and files')
    .option(...configOption)
    .option(...DATA_OPTION)
    .option('--json', 'print the result as JSON', false)
    .action(async (options) => exit(await logStatsCommand(options, io)));
  log
    .command('export')
    .description('write the events as CloudEvents, a line each, or as CSV')
    .option(...configOption)
    .option(...DATA_OPTION)
    .option('--format <format>', 'ndjson, csv', 'ndjson')
    .option('--json', 'the same as --format ndjson')
    .option('--lane <lane>', 'alarm, normal, bulk; default: all')
    .option('--from <time>', 'events that arrived at this time or later')
    .option('--to <time>', 'events that arrived before this time')
    .option('--topic <filter>', 'an MQTT topic filter; default: all')
    .option('--hub <id>', 'the hub in the ids of events; default: hub.id, or the host name')
    .option('--output <file>', 'default: the standard output')
    .option('--lost', 'also what lies in lost+found', false)
    .addHelpText('after', EXPORT_HELP)
    .action(async (options) => exit(await logExportCommand(options, decoder, io)));
}
