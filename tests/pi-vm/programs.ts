import { execFileSync } from 'node:child_process';

/** An apt that waits for a mirror that does not answer gives up by itself before this. */
const TIMEOUT_MS = 300_000;
/** A kernel module, unpacked. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** Runs a program and answers what it printed, as bytes. Throws with its words when it fails. */
export function output(program: string, args: readonly string[], folder = '.'): Buffer {
  try {
    return execFileSync(program, args, {
      cwd: folder,
      timeout: TIMEOUT_MS,
      maxBuffer: OUTPUT_BYTES_MAX,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } catch (error) {
    const words = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    throw new Error(`${program} ${args.at(-1) ?? ''}: ${words || String(error)}`, { cause: error });
  }
}

export function text(program: string, args: readonly string[], folder = '.'): string {
  return output(program, args, folder).toString('utf8');
}
