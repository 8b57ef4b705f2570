import { describeError } from '../../../hub/core/errors.ts';
import { describeEnd, type ProgramEnd, startProgram } from '../../child/program.ts';
import { INSTALL_GPIOD, lost, oldGpiod } from '../messages.ts';
import { versionIn } from './gpiod-output.ts';

/** All of these answer within ms; a machine that swaps takes seconds. */
const ANSWER_MS_MAX = 5_000;
const STOP_MS = 200;
/** A chip has at most some hundreds of lines, and a machine some chips. */
const OUTPUT_LINES_MAX = 4_096;
const LINE_BYTES_MAX = 1_024;

export type GpiodProgram = 'gpiodetect' | 'gpioinfo' | 'gpioget' | 'gpiomon' | 'gpioset';

export interface ToolResult {
  readonly lines: readonly string[];
  readonly end: ProgramEnd;
}

/** The programs of gpiod. */
export class GpiodTools {
  readonly #folder: string | undefined;

  /** `folder`: where they lie; by default they are found in the PATH. */
  constructor(folder?: string) {
    this.#folder = folder;
  }

  pathOf(program: GpiodProgram): string {
    return this.#folder === undefined ? program : `${this.#folder}/${program}`;
  }

  /** Throws BRIDGE_LOST when it cannot be started or does not end. */
  async run(program: GpiodProgram, args: readonly string[]): Promise<ToolResult> {
    const running = await startProgram({
      command: this.pathOf(program),
      args,
      lineBytesMax: LINE_BYTES_MAX,
    });
    const timer = setTimeout(() => running.stop(STOP_MS), ANSWER_MS_MAX);
    try {
      const lines: string[] = [];
      for await (const batch of running.batches()) {
        const room = OUTPUT_LINES_MAX - lines.length;
        lines.push(...batch.lines.slice(0, room).map((line) => line.toString()));
      }
      const end = await running.ended;
      if (end.signal !== null) throw lost(`${describeEnd(program, end)}: it did not answer`);
      return { lines, end };
    } finally {
      clearTimeout(timer);
      await running.stop(STOP_MS);
    }
  }

  /** Throws BRIDGE_LOST when there is no gpiod 2. */
  async version(): Promise<string> {
    let result: ToolResult;
    try {
      result = await this.run('gpiodetect', ['--version']);
    } catch (error) {
      const isMissing = /is not installed|is not there/.test(describeError(error));
      throw isMissing ? lost(`gpiod is missing: ${INSTALL_GPIOD}`) : error;
    }
    const found = versionIn(result.lines.join('\n'));
    if (found === undefined) throw lost(describeEnd('gpiodetect --version', result.end));
    if (found.major < 2) throw lost(`${oldGpiod(found.version)}: ${INSTALL_GPIOD}`);
    return found.version;
  }
}
