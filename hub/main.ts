#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import type { Logger } from 'pino';
import { packageRoot } from '../config/find-file.ts';
import { ConfigError, renderProblem } from '../config/problem.ts';
import type { HubConfig } from '../config/schema.ts';
import { checkCommand } from './cli/check.ts';
import { addDeadLettersCommand } from './cli/dead-letters-command.ts';
import { doctorCommand } from './cli/doctor.ts';
import { addLogCommand } from './cli/log-command.ts';
import { addOperateCommands } from './cli/operate-command.ts';
import { type ReplayOptions, replayCommand } from './cli/replay.ts';
import { runCommand } from './cli/run.ts';
import { TIME_FORMS } from './cli/time.ts';
import { describeError, ERRORS, HubError } from './core/errors.ts';
import { endProcess } from './end-process.ts';
import { startHub } from './hub.ts';
import { decodeRules } from './hub-decode.ts';
import { examineMachine } from './hub-doctor.ts';
import { keepHeapSmall } from './memory.ts';
import { createLogger, LOG_LEVELS } from './observe/logger.ts';
import { createDecoder } from './process/decode/decoder.ts';

function version(): string {
  return JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')).version;
}

/** Everything has been stopped or given up by then: what still runs is left behind. */
const EXIT_DELAY_MS = 1_000;

/**
 * The first SIGTERM or SIGINT asks; a second one, of either, insists. SIGHUP in a terminal is the
 * terminal going away and asks too; to a service it means "reload", and nothing can be reloaded
 * yet.
 */
function stopSignal(logger: Logger): Promise<string> {
  const terminal = process.stdin.isTTY === true;
  return new Promise((resolve) => {
    let asked = false;
    for (const signal of ['SIGTERM', 'SIGINT', ...(terminal ? ['SIGHUP'] : [])]) {
      process.on(signal, () => {
        if (asked) {
          process.exitCode = 1;
          endProcess();
        }
        asked = true;
        resolve(signal);
      });
    }
    if (!terminal) process.on('SIGHUP', () => logger.warn('SIGHUP: restart to apply changes'));
  });
}

/** The value of an environment variable that is one of `allowed`; undefined when it is not set. */
function choice<Value extends string>(name: string, allowed: readonly Value[]): Value | undefined {
  const text = process.env[name];
  if (text === undefined || text === '') return undefined;
  const value = allowed.find((candidate) => candidate === text);
  if (value !== undefined) return value;
  throw new HubError('USAGE', `${name} is ${text}; expected ${allowed.join(', ')}`);
}

const CONFIG_OPTION = [
  '-c, --config <file>',
  'configuration; default: ./holdfast.yaml, then /etc/holdfast/holdfast.yaml, then the demo',
] as const;

const RUN_HELP = `
Environment:
  HOLDFAST_LOG_LEVEL   ${LOG_LEVELS.join(', ')}; default: info
  HOLDFAST_LOG_FORMAT  pretty, json; default: pretty on a terminal, else json

A second SIGTERM or SIGINT ends the hub at once. SIGHUP reloads nothing yet: restart to apply changes.`;

const DOCTOR_HELP = `
Only looks, and changes nothing. Exit code: 0, or 69 when there is a problem.`;

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
    .addHelpText('after', RUN_HELP)
    .action(async (options: { config?: string }) => {
      const level = choice('HOLDFAST_LOG_LEVEL', LOG_LEVELS) ?? 'info';
      const format = choice('HOLDFAST_LOG_FORMAT', ['pretty', 'json']);
      const logger = await createLogger({ level, ...(format && { format }) });
      const run = { version: version(), env: process.env, logger, start: startHub };
      exit(await runCommand({ ...run, ...options, stopped: () => stopSignal(logger) }));
      setTimeout(endProcess, EXIT_DELAY_MS).unref();
    });
  command
    .command('check')
    .description('validate the configuration as `run` would: every problem at once')
    .option(...CONFIG_OPTION)
    .option('--json', 'print the result as JSON', false)
    .action(async (options: { config?: string; json: boolean }) => {
      exit(await checkCommand(options, process));
    });
  command
    .command('doctor')
    .description('say what is wrong with this machine: clock, power, disk, permissions, ports')
    .option(...CONFIG_OPTION)
    .option('--json', 'print the findings as JSON', false)
    .addHelpText('after', DOCTOR_HELP)
    .action(async (options: { config?: string; json: boolean }) => {
      exit(await doctorCommand(options, process, examineMachine));
      setTimeout(endProcess, EXIT_DELAY_MS).unref(); // what did not answer in time
    });
  command
    .command('replay')
    .description('have the running hub send a past range to one sink again, marked as replay')
    .requiredOption('--sink <id>', 'the sink')
    .requiredOption('--from <time>', 'events that arrived at this time or later')
    .option('--to <time>', 'events that arrived before this time', 'now')
    .option('--wait', 'stay until it has ended, and show the progress', false)
    .option('--json', 'print the replay as JSON', false)
    .option('--url <url>', "where the hub's API is; default: the http section of --config")
    .option('--token <token>', 'default: HOLDFAST_TOKEN, or http.token of --config')
    .option(...CONFIG_OPTION)
    .addHelpText('after', `\nTimes: ${TIME_FORMS}.`)
    .action(async (options: ReplayOptions) => exit(await replayCommand(options, process)));
  addDeadLettersCommand(command, { configOption: CONFIG_OPTION, io: process, exit });
  addOperateCommands(command, { configOption: CONFIG_OPTION, io: process, exit });
  const decoder = (config?: HubConfig) => createDecoder(config ? decodeRules(config) : []);
  addLogCommand(command, { configOption: CONFIG_OPTION, io: process, exit, decoder });
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
for (const event of ['unhandledRejection', 'uncaughtException']) {
  process.on(event, (error: unknown) => {
    // no attempt to go on: the log is safe at any moment, and the supervisor starts a sound process
    console.error(`holdfast: ${describeError(error)}`, error);
    process.exitCode = ERRORS.INTERNAL.exitCode;
    endProcess();
  });
}
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error) => {
    // whoever read it (`head`) has seen enough
    if (!('code' in error) || error.code !== 'EPIPE') throw error;
  });
}

try {
  await program((code) => {
    process.exitCode = code;
  }).parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}
