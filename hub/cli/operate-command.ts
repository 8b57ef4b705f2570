import type { Command } from 'commander';
import {
  type OperateIo,
  type OperateOptions,
  pauseCommand,
  type SkipOptions,
  skipCommand,
} from './operate.ts';
import { TIME_FORMS } from './time.ts';

export interface OperateCommandParts {
  /** `--config` as every command has it. */
  readonly configOption: readonly [flags: string, description: string];
  readonly io: OperateIo;
  exit(code: number): void;
}

const SKIP_HELP = `
Skipped events are not deleted: other sinks, history and replay still have them. The ledger of the
sink counts them as lost (skipped), and an event says who did it. With --events the first of the
alarms are meant, then of the normal events, then of bulk, unless there is a --lane.
Times: ${TIME_FORMS}.`;

/** `holdfast pause|resume|skip`: what people tell one sink of the running hub. */
export function addOperateCommands(
  program: Command,
  { configOption, io, exit }: OperateCommandParts,
): void {
  const add = (name: string, description: string) =>
    program
      .command(name)
      .description(description)
      .requiredOption('--sink <id>', 'the sink')
      .option('--json', 'print the answer as JSON', false)
      .option('--url <url>', "where the hub's API is; default: the http section of --config")
      .option('--token <token>', 'default: HOLDFAST_TOKEN, or http.token of --config')
      .option(...configOption);
  add('pause', 'have the running hub send nothing more to one sink, until it is resumed').action(
    async (options: OperateOptions) => exit(await pauseCommand('pause', options, io)),
  );
  add('resume', 'have a paused sink go on where it was').action(async (options: OperateOptions) =>
    exit(await pauseCommand('resume', options, io)),
  );
  add('skip', 'have one sink leave out events that it has not had yet')
    .option('--to <time>', 'all that arrived before this time; now: all that there is')
    .option('--events <count>', 'so many of the events that it would be sent next')
    .option('--lane <lane>', 'only of this lane: alarm, normal or bulk')
    .addHelpText('after', SKIP_HELP)
    .action(async (options: SkipOptions) => exit(await skipCommand(options, io)));
}
