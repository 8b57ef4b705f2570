import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../support/until.ts';
import type { UndoStack } from './undo-stack.ts';
import type { WriterOutput } from './writer-output.ts';

export const WRITER = join(import.meta.dirname, 'writer.js');
/**
 * A boot takes 4 s, an open 0.1 s; a machine that does something else besides is given 10 times
 * that.
 */
const START_MS_MAX = 60_000;

/** From when on the time to the cut counts: the attempt to open, or the first acknowledgement. */
export type CutAfter = 'opening' | 'ack';

export interface Cut {
  readonly after: CutAfter;
  readonly delayMs: number;
}

/** The arguments of writer.ts. `stamped` is the file whose size it says. */
export interface WriterRun {
  readonly folder: string;
  readonly seed: number;
  readonly boot: number;
  readonly durability: 'fsync' | 'none';
  readonly stamped?: string;
}

export function writerArguments(run: WriterRun): string[] {
  const { folder, seed, boot, durability, stamped = '' } = run;
  return [WRITER, folder, String(seed), String(boot), durability, stamped];
}

/**
 * Starts a program that runs a writer, feeds `output`, and kills it with everything it has started
 * when `cut` has come. Throws with its last words when it ends before that.
 */
export async function runUntilCut(
  undo: UndoStack,
  program: string,
  args: readonly string[],
  output: WriterOutput,
  cut: Cut,
): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const killed = undo.add(() => killGroup(child));
  const closed = once(child, 'close');
  let words = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      words = (words + text).slice(-2_000); // enough to say why
    });
  child.stdout.on('data', (text: string) => output.take(text));
  const said = (): number => (cut.after === 'ack' ? output.acks.length : output.opening);
  const before = said();
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null;
  await until(`the writer to begin (${cut.after})`, () => said() > before || ended(), START_MS_MAX);
  if (!ended()) await delay(cut.delayMs);
  const endedItself = ended();
  killed();
  await closed;
  output.cut();
  if (endedItself) throw new Error(`${program} ended by itself: ${words}`);
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // it has ended
  }
}
