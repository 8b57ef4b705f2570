import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const PROGRAM = join(import.meta.dirname, 'pull-edges.js');

export interface Pulses {
  readonly edges: number;
  readonly tookMs: number;
  readonly longestPauseMs: number;
}

/** Sends `edges` edges down a line, the first one up. Resolves when the last one was sent. */
export async function sendEdges(file: string, edges: number, perSecond: number): Promise<Pulses> {
  const args = [PROGRAM, file, String(edges), String(perSecond)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout);
}
