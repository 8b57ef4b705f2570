/**
 * One shell that runs the programs of i2c-tools for one bus. Why a shell in between: starting a
 * program from the hub stops its event loop for 3 ms (some 12 on a Pi 3), because its memory is
 * large; a line to a shell costs 0.03 ms, and the shell starts it with a fraction of the work.
 *
 * Invariants: one line is under way at a time; a line that is not answered in time ends the shell
 * with what it has started, and it is never used again.
 */
import { programEnvironment } from '../child/environment.ts';
import { type Program, startProgram } from '../child/program.ts';

/** Options: no file names from `*`. Its own errors go where those of the programs go. */
const SCRIPT = `
exec 2>&1
set -f
while read -r line; do
  $line </dev/null
  echo "= $?"
done
`;
/** The tools are no programs of everybody in Debian: a user's PATH may be without their folder. */
const TOOL_FOLDERS = '/usr/sbin:/sbin:/usr/local/sbin';
/** What the longest answer takes: 256 bytes as 0x00 and a space, or the abilities of a bus. */
const LINES_MAX = 64;
const LINE_BYTES_MAX = 4 * 1024;

/** Where the tools are looked for. */
export const toolPath = (): string =>
  [programEnvironment()['PATH'], TOOL_FOLDERS].filter(Boolean).join(':');

export type ToolAnswer =
  | { readonly is: 'ended'; readonly code: number; readonly lines: readonly string[] }
  | { readonly is: 'late' }
  /** The shell itself has ended. */
  | { readonly is: 'gone' };

export class ToolShell {
  readonly #program: Program;
  #lines: string[] = [];
  #answer: ((answer: ToolAnswer) => void) | undefined;
  #isGone = false;

  private constructor(program: Program) {
    this.#program = program;
    void this.#listen();
  }

  /** `env`: what the tools are told besides. Throws BRIDGE_LOST when there is no shell. */
  static async start(env: Readonly<Record<string, string>>): Promise<ToolShell> {
    const program = await startProgram({
      command: '/bin/sh',
      args: ['-c', SCRIPT],
      env: { PATH: toolPath(), ...env, LC_ALL: 'C' },
      hasInput: true,
      lineBytesMax: LINE_BYTES_MAX,
    });
    return new ToolShell(program);
  }

  /** Its process group: that of everything it has started. */
  get group(): number {
    return this.#program.pid;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Runs one line of words of ours; the next may come when this one is answered. */
  async ask(line: string, timeoutMs: number): Promise<ToolAnswer> {
    if (this.#isGone) return { is: 'gone' };
    const answer = new Promise<ToolAnswer>((resolve) => {
      const timer = setTimeout(() => this.#settle({ is: 'late' }), timeoutMs);
      this.#answer = (ended) => {
        clearTimeout(timer);
        resolve(ended);
      };
    });
    this.#lines = [];
    if ((await this.#program.write(`${line}\n`)) !== 'written') this.#settle({ is: 'gone' });
    return await answer;
  }

  /** Ends it and what it has started, unless the kernel holds that. */
  async stop(): Promise<void> {
    this.#end();
    await this.#program.stop(0);
  }

  async #listen(): Promise<void> {
    for await (const { lines } of this.#program.batches())
      for (const line of lines) this.#take(line.toString());
    this.#end();
  }

  #take(line: string): void {
    const [, code] = /^= (\d+)$/.exec(line) ?? [];
    if (code !== undefined) this.#settle({ is: 'ended', code: Number(code), lines: this.#lines });
    else if (this.#lines.length < LINES_MAX) this.#lines.push(line);
  }

  #end(): void {
    this.#isGone = true;
    this.#settle({ is: 'gone' });
  }

  #settle(answer: ToolAnswer): void {
    this.#answer?.(answer);
    this.#answer = undefined;
  }
}
