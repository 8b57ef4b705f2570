import { execFile } from 'node:child_process';

/** A local daemon answers in milliseconds; a Pi under load in tenths of a second. */
const TIMEOUT_MS = 2_000;
/** The longest answer, ntpq's, is under 1 KiB. */
const OUTPUT_BYTES_MAX = 16 * 1024;

/** What a program printed; or that there is no such program; or that it was of no use. */
export type Printed =
  | { readonly outcome: 'printed'; readonly text: string }
  | { readonly outcome: 'missing' | 'failed' };

/** Runs `program`. `failed`: it fails, takes too long, or prints more than is expected of it. */
export function askProgram(
  program: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<Printed> {
  const limits = {
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
    maxBuffer: OUTPUT_BYTES_MAX,
  } as const;
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve({ outcome: 'failed' });
      return;
    }
    // not execFile's own `signal`: it keeps listening when there is no such program (Node.js 20)
    const stop = () => child.kill('SIGKILL');
    const child = execFile(program, args, limits, (error, stdout) => {
      signal.removeEventListener('abort', stop);
      if (!error) resolve({ outcome: 'printed', text: stdout });
      else resolve({ outcome: error.code === 'ENOENT' ? 'missing' : 'failed' });
    });
    signal.addEventListener('abort', stop);
  });
}
