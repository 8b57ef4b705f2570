#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { packageRoot } from '../config/find-file.ts';
import { ConfigError, renderProblem } from '../config/problem.ts';
import { checkCommand } from './cli/check.ts';
import { runCommand } from './cli/run.ts';
import { describeError, ERRORS, HubError } from './core/errors.ts';
import { startHub } from './hub.ts';
import { keepHeapSmall } from './memory.ts';
import { createLogger, LOG_LEVELS } from './observe/logger.ts';

function version(): string {
  return JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')).version;
}

/** The first SIGTERM or SIGINT asks; a second one insists. */
function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        resolve(signal);
        process.once(signal, () => process.exit(1));
      });
    }
  });
}

function logLevel() {
  const wanted = process.env['HOLDFAST_LOG_LEVEL'];
  return LOG_LEVELS.find((level) => level === wanted) ?? 'info';
}

function logFormat(): { format: 'pretty' | 'json' } | object {
  const format = process.env['HOLDFAST_LOG_FORMAT'];
  return format === 'pretty' || format === 'json' ? { format } : {};
}

const CONFIG_OPTION = [
  '-c, --config <file>',
  'configuration; default: ./holdfast.yaml, then /etc/holdfast/holdfast.yaml, then the demo',
] as const;

function program(exit: (code: number) => void): Command {
  const command = new Command('holdfast')
    .description('IoT edge telemetry hub: every reading is on disk before it says thank you.')
    .version(version())
    .exitOverride()
    .showHelpAfterError();
  command
    .command('run')
    .description('run the hub in the foreground; SIGTERM and SIGINT stop it')
    .option(...CONFIG_OPTION)
    .action(async (options: { config?: string }) => {
      const logger = await createLogger({ level: logLevel(), ...logFormat() });
      const run = { version: version(), env: process.env, logger, start: startHub };
      exit(await runCommand({ ...run, ...options, stopped: stopSignal }));
    });
  command
    .command('check')
    .description('validate the configuration as `run` would: every problem at once')
    .option(...CONFIG_OPTION)
    .option('--json', 'print the result as JSON', false)
    .action(async (options: { config?: string; json: boolean }) => {
      exit(await checkCommand(options, process));
    });
  return command;
}

/** A user's mistake is a message and an exit code, never a stack trace. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : ERRORS.USAGE.exitCode;
  if (error instanceof ConfigError) {
    for (const problem of error.problems) console.error(renderProblem(problem));
    return ERRORS.CONFIG_INVALID.exitCode;
  }
  if (error instanceof HubError) {
    const { recovery, help, ...more } = ERRORS[error.code];
    console.error(`holdfast: ${error.message}\n${help}`);
    return recovery === 'exit' && 'exitCode' in more ? more.exitCode : ERRORS.INTERNAL.exitCode;
  }
  console.error(error);
  return ERRORS.INTERNAL.exitCode;
}

keepHeapSmall();
process.on('unhandledRejection', (error) => {
  // no attempt to go on: the log is safe at any moment, and the supervisor starts a sound process
  console.error(`holdfast: ${describeError(error)}`, error);
  process.exit(ERRORS.INTERNAL.exitCode);
});

try {
  await program((code) => {
    process.exitCode = code;
  }).parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}
