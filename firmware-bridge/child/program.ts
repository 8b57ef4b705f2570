/**
 * A program of the system that runs beside the hub.
 *
 * Invariants:
 * - it is the leader of its process group; what it starts ends with it, and all of it ends with the
 *   hub (guard.ts);
 * - its stdout is only read while somebody waits for lines: a busy consumer slows it by its pipe;
 * - its stderr is always read, though no faster than the hub can afford, and its last lines kept;
 * - nothing here waits for ever: neither for a program that ignores signals, nor for a pipe that
 *   somebody else holds open.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Duplex, type Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { endsWithin } from '../../hub/core/ends-within.ts';
import { printable } from '../../hub/core/printable.ts';
import { programEnvironment } from './environment.ts';
import { guard } from './guard.ts';
import { LineSplitter } from './line-splitter.ts';
import { startProblem } from './start-problem.ts';

/** As many as one commit of the log takes well. */
export const LINES_PER_BATCH_MAX = 256;
const LINE_BYTES_MAX = 64 * 1024;
/** What a program says of itself on stderr: a few lines of a screen. */
const ERROR_LINES_KEPT = 5;
const ERROR_LINE_CHARACTERS_MAX = 300;
/** After so much on stderr a pause: to read 640 kB/s takes some percent of a Pi's processor. */
const ERROR_BYTES_AT_ONCE = 64 * 1024;
const ERROR_PAUSE_MS = 100;
/** While a line is skipped: 3 MB/s of what nobody wants are enough. */
const SKIP_PAUSE_MS = 20;
/** UTF-8 has up to four bytes a character. */
const ERROR_LINE_BYTES_MAX = 4 * ERROR_LINE_CHARACTERS_MAX;
/** A program that does not take this much does not read its input. */
const UNWRITTEN_BYTES_MAX = 64 * 1024;
/** After its end only what is in a pipe can still come; more is a pipe that somebody else holds. */
const DRAIN_MS = 500;
/** SIGKILL takes effect at once, except on a process that the kernel itself holds. */
const KILL_MS = 250;

export interface ProgramOptions {
  /** A path, or a name to be found in the PATH. Never a line for a shell. */
  readonly command: string;
  readonly args?: readonly string[];
  /** Besides what programEnvironment hands on. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string | undefined;
  /** Whether `write` is wanted; else its stdin is empty. */
  readonly hasInput?: boolean;
  /** A longer line is counted and skipped. Default 64 KiB. */
  readonly lineBytesMax?: number;
  /** Whether it has a pipe of both directions besides, as its file descriptor 3: `channel`. */
  readonly hasChannel?: boolean;
  /** Every line of stderr, printable and shortened. */
  readonly onErrorLine?: (line: string) => void;
}

/** Lines of stdout, without their ends. */
export interface LineBatch {
  /** At most LINES_PER_BATCH_MAX. */
  readonly lines: readonly Buffer[];
  /** Lines of more than `lineBytesMax` bytes. */
  readonly tooLong: number;
  /** Only in the last batch: what came after the last line end. */
  readonly unfinished?: Buffer;
}

export interface ProgramEnd {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last lines of stderr, oldest first. */
  readonly errorLines: readonly string[];
}

/** `full`: it does not read its stdin. `ended`: it has closed it, or is no more. */
export type Written = 'written' | 'full' | 'ended';

/** One line for people: the program `rtl_433` ended with code 1: no supported devices found. */
export function describeEnd(command: string, end: ProgramEnd): string {
  return `the program \`${command}\` ${howItEnded(end)}`;
}

/** `ended with code 1: no supported devices found`. */
export function howItEnded({ code, signal, errorLines }: ProgramEnd): string {
  const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
  const said = errorLines.findLast((line) => line.trim() !== '');
  return said === undefined ? how : `${how}: ${said}`;
}

/**
 * Starts a program. Whoever starts one calls `stop` in the end, in every case. Throws BRIDGE_LOST,
 * which names the program and what to do, when it cannot be started.
 */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  const { command, args = [], cwd } = options;
  const env = programEnvironment(options.env);
  try {
    const child = spawn(command, args, {
      cwd,
      env,
      detached: true,
      ...stdioOf(options),
    });
    // at once, before anything else runs: this is what ends it with the hub
    if (child.pid !== undefined) guard.add(child.pid);
    const program = new Program(child, options);
    await once(child, 'spawn');
    return program;
  } catch (error) {
    throw await startProblem(error, { command, cwd, path: env['PATH'] });
  }
}

function stdioOf({ hasInput, hasChannel }: ProgramOptions): SpawnOptions {
  const input = hasInput ? 'pipe' : 'ignore';
  return { stdio: [input, 'pipe', 'pipe', ...(hasChannel ? ['pipe' as const] : [])] };
}

export class Program {
  readonly pid: number;
  /** Resolves when the program itself has ended; lines may still be there to be read. */
  readonly ended: Promise<ProgramEnd>;
  /** With `hasChannel`. Whoever asked for it reads it. */
  readonly channel: Duplex | undefined;
  readonly #child: ChildProcess;
  readonly #lineBytesMax: number;
  #hasEnded = false;
  readonly #errorLines: string[] = [];

  /** Only for startProgram. */
  constructor(child: ChildProcess, options: ProgramOptions) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    this.#lineBytesMax = options.lineBytesMax ?? LINE_BYTES_MAX;
    child.on('error', () => {}); // of starting, which startProgram hears of, and of signals
    child.stdin?.on('error', () => {}); // of writes, which hear of it themselves
    child.stdout?.on('error', () => {}); // of reads, likewise
    const channel = child.stdio[3];
    this.channel = channel instanceof Duplex ? channel : undefined;
    this.channel?.on('error', () => {}); // of a program that is no more
    this.ended = this.#end([
      this.#keepErrors(child.stderr, options.onErrorLine),
      this.#channelClosed(),
    ]);
  }

  /**
   * The lines of stdout until the program has closed it. One consumer. A consumer that leaves early
   * closes it: the program gets SIGPIPE when it writes again.
   */
  async *batches(): AsyncGenerator<LineBatch, void, undefined> {
    let lines: Buffer[] = [];
    let tooLong = 0;
    const splitter = new LineSplitter(this.#lineBytesMax, {
      line: (bytes) => lines.push(bytes),
      tooLong: () => tooLong++,
    });
    for await (const chunk of this.#chunks()) {
      splitter.push(chunk);
      const found = lines;
      lines = [];
      for (let at = 0; at < found.length; at += LINES_PER_BATCH_MAX)
        yield { lines: found.slice(at, at + LINES_PER_BATCH_MAX), tooLong: 0 };
      if (tooLong > 0) yield { lines: [], tooLong };
      tooLong = 0;
      if (splitter.isSkipping) await delay(SKIP_PAUSE_MS);
    }
    const unfinished = splitter.end();
    if (unfinished && unfinished.length > 0) yield { lines: [], tooLong: 0, unfinished };
  }

  /** Resolves when the pipe has taken the bytes. What is `full` was not written. */
  write(bytes: string | Buffer): Promise<Written> {
    const stdin = this.#child.stdin;
    if (!stdin?.writable) return Promise.resolve('ended');
    if (stdin.writableLength + Buffer.byteLength(bytes) > UNWRITTEN_BYTES_MAX)
      return Promise.resolve('full');
    return new Promise((resolve) => {
      stdin.write(bytes, (error) => resolve(error ? 'ended' : 'written'));
    });
  }

  /** Says that no more input comes. */
  endInput(): void {
    this.#child.stdin?.end();
  }

  /** SIGTERM, to it and all that it started. What it has printed can still be read. */
  terminate(): void {
    if (!this.#hasEnded) this.#signal('SIGTERM');
  }

  /**
   * Ends it and all that it started: SIGTERM, and SIGKILL after `graceMs`. Resolves when it has
   * ended, at the latest a quarter of a second after SIGKILL, then with undefined: the kernel still
   * holds it, in a driver that hangs. May be called more than once.
   */
  async stop(graceMs: number): Promise<ProgramEnd | undefined> {
    let end: ProgramEnd | undefined;
    const ended = this.ended.then((how) => {
      end = how;
    });
    this.terminate();
    if (!(await endsWithin(this.#hasEnded ? DRAIN_MS : graceMs, ended))) {
      this.#signal('SIGKILL');
      await endsWithin(KILL_MS, ended);
    }
    this.#child.stdin?.destroy();
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
    this.channel?.destroy();
    return end;
  }

  /** To the whole group, as long as it is certain that the group is this program's. */
  #signal(signal: NodeJS.Signals): void {
    try {
      if (this.pid > 0) process.kill(-this.pid, signal);
    } catch {
      // none of the group is left, or it runs as another user and is not ours to end
    }
  }

  async #end(saidAll: readonly Promise<void>[]): Promise<ProgramEnd> {
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
      this.#child.once('exit', (...how) => resolve(how));
    });
    // what it has left running would hold its pipes, and its number in the guard's list
    this.#signal('SIGKILL');
    guard.remove(this.pid);
    this.#hasEnded = true;
    if (!(await endsWithin(DRAIN_MS, Promise.all(saidAll)))) this.#child.stderr?.destroy();
    return { code, signal, errorLines: [...this.#errorLines] };
  }

  async *#chunks(): AsyncGenerator<Buffer, void, undefined> {
    const stdout = this.#child.stdout;
    if (!stdout) return;
    const reader = stdout[Symbol.asyncIterator]();
    let timer: NodeJS.Timeout | undefined;
    let pulling = false;
    const closeSoon = () => {
      if (pulling) timer = setTimeout(() => stdout.destroy(), DRAIN_MS);
    };
    this.#child.once('exit', closeSoon);
    try {
      for (;;) {
        pulling = true;
        if (this.#child.exitCode !== null || this.#child.signalCode !== null) closeSoon();
        const { value, done } = await reader.next();
        pulling = false;
        clearTimeout(timer);
        if (done) return;
        yield value;
      }
    } catch {
      // closed by `stop`, or because the program has ended and somebody else holds its pipe
    } finally {
      this.#child.off('exit', closeSoon);
      clearTimeout(timer);
      stdout.destroy();
    }
  }

  /** Resolves when all that came over its channel was read; at once without a channel. */
  async #channelClosed(): Promise<void> {
    const { channel } = this;
    if (channel) await new Promise((resolve) => channel.once('close', resolve));
  }

  /** Resolves when stderr is closed and all of it was seen. */
  async #keepErrors(stderr: Readable | null, onErrorLine = (_line: string) => {}): Promise<void> {
    const keep = (bytes: Buffer) => {
      const line = printable(bytes.toString(), ERROR_LINE_CHARACTERS_MAX);
      this.#errorLines.push(line);
      if (this.#errorLines.length > ERROR_LINES_KEPT) this.#errorLines.shift();
      onErrorLine(line);
    };
    const splitter = new LineSplitter(ERROR_LINE_BYTES_MAX, { line: keep, tooLong: keep });
    if (!stderr) return;
    let timer: NodeJS.Timeout | undefined;
    let bytes = 0;
    stderr.on('data', (chunk: Buffer) => {
      splitter.push(chunk);
      bytes += chunk.length;
      if (bytes < ERROR_BYTES_AT_ONCE || this.#hasEnded) return;
      bytes = 0;
      stderr.pause();
      timer = setTimeout(() => stderr.resume(), ERROR_PAUSE_MS);
    });
    stderr.on('error', () => {});
    await new Promise((resolve) => stderr.once('close', resolve));
    clearTimeout(timer);
    const rest = splitter.end();
    if (rest && rest.length > 0) keep(rest);
  }
}
