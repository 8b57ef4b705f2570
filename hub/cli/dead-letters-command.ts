import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import type { Environment } from '../../config/environment.ts';
import {
  type DeadLettersIo,
  type DiscardOptions,
  discardCommand,
  type ListOptions,
  listCommand,
  type RetryOptions,
  retryCommand,
  type ShowOptions,
  showCommand,
} from './dead-letters.ts';

export interface Terminal {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly env: Environment;
}

export interface DeadLettersCommandParts {
  /** `--config` as every command has it. */
  readonly configOption: readonly [flags: string, description: string];
  readonly io: Terminal;
  exit(code: number): void;
}

const SINK_OPTION = ['--sink <id>', 'the sink'] as const;
const NUMBER_OPTION = ['--number <number...>', 'these, as `list` has them'] as const;
const RETRY_HELP = `
What the far side refuses again stays, with the new reason. A restart of the hub ends a retry: what
was not sent is still there.
Exit codes with --wait: 0 all were taken, 69 some are refused still.`;
const DISCARD_HELP = `
They are lost for good: the ledger counts them so, and an event says it. --all asks, or wants --yes.`;

/** `holdfast dead-letters list|show|retry|discard`: what a far side would not take. */
export function addDeadLettersCommand(program: Command, parts: DeadLettersCommandParts): void {
  const { configOption, io, exit } = parts;
  const group = program
    .command('dead-letters')
    .description('what the far side of a sink refused: look at it, send it again, give it up');
  const add = (name: string, description: string): Command =>
    group
      .command(name)
      .description(description)
      .requiredOption(...SINK_OPTION)
      .option('--json', 'print the result as JSON', false)
      .option('--url <url>', "where the hub's API is; default: the http section of --config")
      .option('--token <token>', 'default: HOLDFAST_TOKEN, or http.token of --config')
      .option(...configOption);
  add('list', 'the letters of a sink, newest first')
    .option('--limit <count>', 'so many at most, up to 500', '20')
    .option('--after <number>', 'those that follow this one in the list')
    .option('--oldest', 'oldest first', false)
    .action(async (options: ListOptions) => exit(await listCommand(options, withAsking(io))));
  add('show', 'one letter with all of its payload')
    .requiredOption('--number <number>', 'which, as `list` has it')
    .action(async (options: ShowOptions) => exit(await showCommand(options, withAsking(io))));
  add('retry', 'have the running hub send letters again')
    .option(...NUMBER_OPTION)
    .option('--all', 'all of the sink', false)
    .option('--wait', 'stay until they have been sent', false)
    .addHelpText('after', RETRY_HELP)
    .action(async (options: RetryOptions) => exit(await retryCommand(options, withAsking(io))));
  add('discard', 'give letters up for good')
    .option(...NUMBER_OPTION)
    .option('--all', 'all of the sink', false)
    .option('--yes', 'do not ask', false)
    .addHelpText('after', DISCARD_HELP)
    .action(async (options: DiscardOptions) => exit(await discardCommand(options, withAsking(io))));
}

function withAsking(io: Terminal): DeadLettersIo {
  const { stdin: input, stdout, stderr: output, env } = io;
  const ask = async (question: string): Promise<string> => {
    const lines = createInterface({ input, output });
    try {
      return await lines.question(question);
    } finally {
      lines.close();
    }
  };
  const somebody = input.isTTY === true && output.isTTY === true;
  return { stdout, stderr: output, env, ...(somebody ? { ask } : {}) };
}
