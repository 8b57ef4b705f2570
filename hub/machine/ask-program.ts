import { type ExecFileException, execFile } from 'node:child_process';
import { printable } from '../core/printable.ts';

/** A local daemon answers in milliseconds; a Pi under load in tenths of a second. */
const TIMEOUT_MS = 2_000;
/** The longest answer of those that are asked by default, ntpq's, is under 1 KiB. */
const OUTPUT_BYTES_MAX = 16 * 1024;
/** A line or two of what it said on stderr. */
const DETAIL_CHARACTERS_MAX = 300;

/** What a program printed; or that there is no such program; or that it was of no use, and why. */
export type Printed =
  | { readonly outcome: 'printed'; readonly text: string }
  | { readonly outcome: 'missing' | 'failed'; readonly detail: string };

export interface AskLimits {
  readonly timeoutMs?: number;
  readonly outputBytesMax?: number;
}

/**
 * Runs `program` to its end, without a shell and without input. `failed`: it fails, takes too long,
 * or prints more than is expected of it. Never rejects.
 */
export function askProgram(
  program: string,
  args: readonly string[],
  signal: AbortSignal,
  { timeoutMs = TIMEOUT_MS, outputBytesMax = OUTPUT_BYTES_MAX }: AskLimits = {},
): Promise<Printed> {
  const limits = {
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: outputBytesMax,
  } as const;
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve({ outcome: 'failed', detail: 'it was not asked: the hub is stopping' });
      return;
    }
    // not execFile's own `signal`: it keeps listening when there is no such program (Node.js 20)
    const stop = () => child.kill('SIGKILL');
    const child = execFile(program, args, limits, (error, stdout, stderr) => {
      signal.removeEventListener('abort', stop);
      if (!error) resolve({ outcome: 'printed', text: stdout });
      else if (error.code === 'ENOENT')
        resolve({ outcome: 'missing', detail: `there is no program \`${program}\`` });
      else resolve({ outcome: 'failed', detail: whyOf(error, stderr, timeoutMs) });
    });
    child.stdin?.on('error', () => {}); // it may end before its input is closed
    child.stdin?.end();
    signal.addEventListener('abort', stop);
  });
}

function whyOf({ code, killed, signal }: ExecFileException, stderr: string, timeoutMs: number) {
  const said =
    stderr.trim() === '' ? '' : `: ${printable(lastLine(stderr), DETAIL_CHARACTERS_MAX)}`;
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return 'it prints more than is expected of it';
  if (killed) return `it did not end within ${timeoutMs} ms${said}`;
  if (signal) return `it was ended by ${signal}${said}`;
  return typeof code === 'number' ? `it ended with code ${code}${said}` : `it cannot run: ${code}`;
}

const lastLine = (text: string) => text.trim().split('\n').at(-1) ?? '';
