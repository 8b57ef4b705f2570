/**
 * One process of a plugin.
 *
 * Why a process and not a thread: docs/decisions/0010-plugins-in-processes.md.
 */
import { stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describeError, HubError } from '../../hub/core/errors.ts';
import { type Program, type ProgramEnd, startProgram } from '../child/program.ts';
import { MessageReader, sendOver } from './channel.ts';
import { isHint } from './failure.ts';
import { heard } from './hear.ts';
import { type FromPlugin, PAYLOAD_BYTES_MAX, type Start, type ToPlugin } from './protocol.ts';

const RUNNER = fileURLToPath(new URL('./runner.js', import.meta.url));
/**
 * How often it is asked whether anything can run in it, and how many times it may not answer. It
 * takes a second to load on the slowest Pi; one that takes 30 waits for something else.
 */
const PATIENCE = { askEveryMs: 10_000, silentMax: 3 };
export type Patience = typeof PATIENCE;
/** What `run` has to end in, of the second that stopping takes. */
const STOP_MS = 500;
const KILL_GRACE_MS = 100;
const HINTS_MAX = 10;
/** A payload, and what is remembered with it. */
const MESSAGE_BYTES_MAX = 4 * PAYLOAD_BYTES_MAX;
/** One that talks or prints without end is heard so slowly that the hub has time for the others. */
const TALK_MAX = 100;
const TALK_PAUSE_MS = 50;
/** V8's own, for a program that is small: else it takes 16 MiB before it looks for garbage. */
const YOUNG_MIB = 2;

export interface PluginOptions {
  readonly file: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly heap_max: number;
}

export interface ProcessEvents {
  hear(message: FromPlugin): void;
  /** A line that it printed, or said on stderr. */
  line(text: string): void;
}

export class PluginProcess {
  readonly hints: string[] = [];
  /** Rejects when it hangs: it does not load, or blocks. BRIDGE_LOST. Never resolves. */
  readonly stuck: Promise<never>;
  readonly ended: Promise<ProgramEnd>;
  readonly #program: Program;
  readonly #file: string;
  readonly #timer: NodeJS.Timeout;
  readonly #patience: Patience;
  #giveUp: (error: HubError) => void = () => {};
  #state: 'loading' | 'loaded' = 'loading';
  /** Asked since the last answer. */
  #asked = 0;

  /** Errors: BRIDGE_LOST when the file is not there or Node.js cannot be started. */
  static async start(
    id: string,
    mode: Start['mode'],
    { file, options, heap_max }: PluginOptions,
    events: ProcessEvents,
    patience = PATIENCE,
  ): Promise<PluginProcess> {
    await lookFor(file);
    let note = (_line: string) => {};
    const program = await startProgram({
      command: process.execPath,
      args: [
        `--max-old-space-size=${Math.round(heap_max / 1024 ** 2)}`,
        `--max-semi-space-size=${YOUNG_MIB}`,
        '--enable-source-maps',
        RUNNER,
      ],
      hasChannel: true,
      onErrorLine: (line) => note(line),
    });
    const started = new PluginProcess(program, file, patience);
    // nothing has come yet: it is silent until it hears what to do
    note = (line) => started.#errorLine(line, events);
    started.#listen(events).catch(() => {}); // it has ended, which says more
    started.#print(events).catch(() => {}); // for people: a defect there is none of the readings
    started.send({ is: 'start', mode, id, file, options });
    return started;
  }

  private constructor(program: Program, file: string, patience: Patience) {
    this.#patience = patience;
    this.#program = program;
    this.#file = file;
    this.ended = program.ended;
    this.stuck = new Promise((_, reject) => {
      this.#giveUp = reject;
    });
    this.stuck.catch(() => {}); // it may hang when nobody waits for it any more
    this.#timer = setInterval(() => this.#look(), patience.askEveryMs);
  }

  /** Lost when it has ended. */
  send(message: ToPlugin): void {
    const { channel } = this.#program;
    if (channel?.writable) sendOver(channel, message);
  }

  /** Ends it within a second, kindly at first. Undefined when it could not be ended. */
  async stop(): Promise<ProgramEnd | undefined> {
    clearInterval(this.#timer);
    this.send({ is: 'stop' });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, STOP_MS);
    });
    await Promise.race([this.ended, late]);
    clearTimeout(timer);
    return await this.#program.stop(KILL_GRACE_MS);
  }

  async #listen(events: ProcessEvents): Promise<void> {
    const reader = new MessageReader(MESSAGE_BYTES_MAX);
    for await (const bytes of this.#program.channel ?? []) {
      let talk = 0;
      for (const value of this.#valuesIn(bytes, reader)) {
        const message = heard(value);
        if (message?.is !== 'publish') talk++;
        if (message) this.#hear(message, events);
      }
      if (talk >= TALK_MAX) await delay(TALK_PAUSE_MS);
    }
  }

  #valuesIn(bytes: Buffer, reader: MessageReader): readonly unknown[] {
    try {
      return reader.push(bytes);
    } catch (error) {
      const what = `the plugin ${this.#file} sent what is no message`;
      const why = `${describeError(error)}; does it write to file descriptor 3, or much too much?`;
      this.#giveUp(lost(`${what}: ${why}`));
      throw error;
    }
  }

  #hear(message: FromPlugin, events: ProcessEvents): void {
    if (message.is === 'loaded') this.#state = 'loaded';
    // it answers too while it waits for something that never comes
    if (this.#state === 'loaded') this.#asked = 0;
    events.hear(message);
  }

  #look(): void {
    const { askEveryMs, silentMax } = this.#patience;
    if (this.#asked >= silentMax) {
      const why =
        this.#state === 'loading'
          ? 'does not load: does it wait or loop at its top level, or in `check`?'
          : `has done nothing for ${(silentMax * askEveryMs) / 1_000} s: does it loop without \`await\`?`;
      this.#giveUp(lost(`the plugin ${this.#file} ${why}`));
    }
    this.#asked++;
    this.send({ is: 'ping' });
  }

  #errorLine(line: string, events: ProcessEvents): void {
    if (isHint(line) && this.hints.length < HINTS_MAX) this.hints.push(line);
    events.line(line);
  }

  async #print(events: ProcessEvents): Promise<void> {
    for await (const { lines } of this.#program.batches()) {
      for (const line of lines) events.line(line.toString());
      if (lines.length >= TALK_MAX) await delay(TALK_PAUSE_MS);
    }
  }
}

async function lookFor(file: string): Promise<void> {
  try {
    if ((await stat(file)).isFile()) return;
  } catch (error) {
    const why = describeError(error);
    throw new HubError('BRIDGE_LOST', `the plugin ${file} cannot be read: ${why}`, {
      cause: error,
    });
  }
  throw lost(`the plugin ${file} is no file`);
}

const lost = (message: string) => new HubError('BRIDGE_LOST', message);
