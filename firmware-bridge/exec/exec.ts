/**
 * A program whose lines are readings.
 *
 * Invariants:
 * - at most one run of the program at a time, and none is left when `run` has ended;
 * - while lines wait for the log nothing more is read, so that the program is slowed by its pipe;
 *   that time does not count as the program's;
 * - a run that fails has ended the time of readings: the gap is told when the next one succeeds.
 */
import type { Bridge, BridgeContext } from '../../hub/core/bridge.ts';
import { endsWithin } from '../../hub/core/ends-within.ts';
import { describeError, HubError } from '../../hub/core/errors.ts';
import { sampledWarnings } from '../../hub/core/sampled-warnings.ts';
import {
  describeEnd,
  LINES_PER_BATCH_MAX,
  type Program,
  type ProgramEnd,
  startProgram,
} from '../child/program.ts';
import { RestartDelay } from '../child/restart-delay.ts';
import { createFormat } from '../format/create.ts';
import type { Format } from '../format/format.ts';
import { topicTemplate } from '../format/topic.ts';
import { Absence } from './absence.ts';
import { Lines } from './lines.ts';
import { Orders } from './orders.ts';
import { ProgramTime, sleep } from './program-time.ts';
import type { ExecOptions } from './spec.ts';

const TIMEOUT_MS = 10_000;
/** Stopping has a second in all. */
const GRACE_MS = 500;
/** A program that has run so long without a line is one that has little to say. */
const STEADY_MS = 10_000;
/** A program that prints nothing of use is heard so slowly that the hub has time for others. */
const USELESS_PAUSE_MS = 25;
/** What has closed its stdout gives no more readings. */
const CLOSED_MS = 2_000;
/** Programs that talk all the time on stderr: enough of it to see what it is. */
const STDERR_EVERY_MS = 10_000;

/** How one run has ended. */
type RunEnd =
  | { readonly is: 'ended'; readonly end: ProgramEnd }
  /** It closed its stdout, went on, and was ended. */
  | { readonly is: 'closed' }
  | { readonly is: 'timeout'; readonly end: ProgramEnd | undefined }
  | { readonly is: 'aborted' };

export class ExecBridge implements Bridge {
  readonly commands: Orders | undefined;
  readonly #options: ExecOptions;
  readonly #format: Format;
  readonly #absence = new Absence();
  readonly #restartDelay = new RestartDelay();

  constructor(options: ExecOptions, format: Format) {
    this.#options = options;
    this.#format = format;
    const { commands } = options;
    if (commands)
      this.commands = new Orders({
        devices: commands.devices,
        answerTimeoutMs: commands.answer_timeout,
      });
  }

  async run(context: BridgeContext, signal: AbortSignal): Promise<void> {
    try {
      const { interval, timeout = TIMEOUT_MS } = this.#options;
      if (interval === undefined) await this.#runAlways(context, signal);
      else await this.#runAtIntervals(context, signal, interval, timeout);
    } catch (error) {
      if (error instanceof HubError && error.code === 'BRIDGE_LOST')
        this.#absence.failed(context, describeError(error));
      throw error;
    }
  }

  async #runAlways(context: BridgeContext, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const startMs = context.clock.monotonicMs();
    const here = this.#once(context);
    const steady = setTimeout(() => here.isReading(), STEADY_MS);
    let run: RunEnd;
    try {
      run = await this.#runOnce(context, signal, Number.POSITIVE_INFINITY, here.isReading);
    } finally {
      clearTimeout(steady);
    }
    if (run.is === 'aborted') return;
    const livedMs = context.clock.monotonicMs() - startMs;
    const retryAfterMs = this.#restartDelay.next(livedMs, context.random());
    const problem = this.#problemOf(run);
    if (problem !== undefined) throw lost(problem, retryAfterMs);
  }

  async #runAtIntervals(
    context: BridgeContext,
    signal: AbortSignal,
    intervalMs: number,
    timeoutMs: number,
  ): Promise<void> {
    const here = this.#once(context);
    const now = () => context.clock.monotonicMs();
    for (let dueMs = now(); !signal.aborted; ) {
      const startMs = now();
      const run = await this.#runOnce(context, signal, timeoutMs, () => {});
      if (run.is === 'aborted') return;
      const missed = Math.max(0, Math.floor((now() - dueMs) / intervalMs));
      dueMs += (missed + 1) * intervalMs;
      const problem = this.#problemOf(run);
      if (problem !== undefined) throw lost(problem, dueMs - now());
      here.isReading();
      const tookS = ((now() - startMs) / 1_000).toFixed(1);
      context.describe(
        missed > 0 ? `${this.#name} took ${tookS} s, longer than its \`interval\`` : undefined,
      );
      await sleep(dueMs - now(), signal);
    }
  }

  get #name(): string {
    return this.#options.command[0] ?? '';
  }

  /** Undefined when all is well: a run at its time that has ended by itself. */
  #problemOf(run: Exclude<RunEnd, { is: 'aborted' }>): string | undefined {
    const { interval, timeout = TIMEOUT_MS } = this.#options;
    const program = `the program \`${this.#name}\``;
    if (run.is === 'closed') return `${program} closed its stdout and went on, so the hub ended it`;
    if (run.is === 'timeout') {
      const said = run.end?.errorLines.at(-1);
      const why = said === undefined ? '' : `: ${said}`;
      return `${program} did not end within its \`timeout\` of ${timeout} ms${why}`;
    }
    const end = describeEnd(this.#name, run.end);
    if (run.end.code !== 0) return end;
    if (interval !== undefined) return undefined;
    return `${end}; a program that is meant to end needs \`interval\``;
  }

  /** Says once in this run of the bridge that there are readings again. */
  #once(context: BridgeContext): { isReading(): void } {
    let isSaid = false;
    return {
      isReading: () => {
        if (isSaid) return;
        isSaid = true;
        context.connected();
        for (const message of this.#absence.over(context))
          context.accept(message).catch((error) => {
            context.logger.warn({ error: describeError(error) }, 'a gap could not be noted');
          });
      },
    };
  }

  /** Runs the program to its end. Errors: BRIDGE_LOST when it cannot start; those of `accept`. */
  async #runOnce(
    context: BridgeContext,
    signal: AbortSignal,
    timeoutMs: number,
    isReading: () => void,
  ): Promise<RunEnd> {
    const program = await this.#start(context);
    const time = new ProgramTime(() => context.clock.monotonicMs());
    const reading = this.#read(program, context, signal, time, isReading);
    reading.catch(() => {}); // when the race is over
    this.commands?.goTo(program);
    const stop = new AbortController();
    const aborted = whenAborted(signal, stop.signal).then(() => 'aborted' as const);
    try {
      const first = await Promise.race([
        reading,
        time.isOver(timeoutMs, stop.signal).then(() => 'timeout' as const),
        aborted,
      ]);
      if (first === 'aborted') return { is: 'aborted' };
      if (first === 'timeout') return { is: 'timeout', end: await program.stop(GRACE_MS) };
      return first;
    } finally {
      stop.abort();
      this.commands?.goTo(undefined);
      await program.stop(GRACE_MS);
    }
  }

  /** How it ended, when it has closed its stdout. */
  async #endOf(program: Program): Promise<RunEnd> {
    const isLate = async () => !(await endsWithin(CLOSED_MS, program.ended));
    // at intervals its `timeout` ends it
    if (this.#options.interval === undefined && (await isLate())) {
      await program.stop(GRACE_MS);
      return { is: 'closed' };
    }
    return { is: 'ended', end: await program.ended };
  }

  async #start(context: BridgeContext): Promise<Program> {
    const { command, env, working_dir, line_bytes_max, commands } = this.#options;
    const [program = '', ...args] = command;
    const { logger, clock } = context;
    const say = sampledWarnings({
      logger: { warn: (fields, message) => logger.info(fields, message) },
      monotonicMs: () => clock.monotonicMs(),
      perKeyMs: STDERR_EVERY_MS,
    });
    return await startProgram({
      command: program,
      args,
      env: Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value.reveal()])),
      cwd: working_dir,
      hasInput: commands !== undefined,
      lineBytesMax: line_bytes_max,
      onErrorLine: (line) => say('stderr', 'the program says', () => ({ stderr: line })),
    });
  }

  /** Until it has ended. */
  async #read(
    program: Program,
    context: BridgeContext,
    signal: AbortSignal,
    time: ProgramTime,
    isReading: () => void,
  ): Promise<RunEnd> {
    const lines = new Lines({
      format: this.#format,
      topic: topicTemplate(this.#options.topic, context.id),
      isAnswer: (line) => this.commands?.isAnswer(line) ?? false,
      context,
    });
    for await (const batch of program.batches()) {
      if (signal.aborted) return { is: 'aborted' };
      isReading();
      const { unfinished } = batch;
      if (unfinished) {
        const run = await this.#endOf(program);
        // a program that was cut off has not said what it wanted to say
        if (run.is !== 'ended' || run.end.code !== 0) lines.bad('partial', 1);
        else await time.without(() => lines.publish({ ...batch, lines: [unfinished] }));
        return run;
      }
      const published = await time.without(() => lines.publish(batch));
      const isMuch = batch.lines.length === LINES_PER_BATCH_MAX;
      if (isMuch && published === 0) await sleep(USELESS_PAUSE_MS, signal);
    }
    return await this.#endOf(program);
  }
}

function lost(message: string, retryAfterMs: number): HubError {
  return new HubError('BRIDGE_LOST', message, { retryAfterMs });
}

async function whenAborted(signal: AbortSignal, until: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true, signal: until });
  });
}

export async function createExecBridge(options: ExecOptions): Promise<ExecBridge> {
  return new ExecBridge(options, await createFormat(options.format, options));
}
