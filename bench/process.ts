import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** A hub with a backlog is ready within 2 s; an SD card and a busy machine get ten times that. */
const READY_MS_MAX = 20_000;
const STOP_MS_MAX = 20_000;
const LOOK_EVERY_MS = 20;
/** Linux counts CPU time in ticks of 10 ms on every machine that we run on (USER_HZ). */
const TICK_MS = 10;

/** A server under measurement. */
export interface Server {
  /** User and system time so far, in ms. */
  cpuMs(): number;
  /** Resident memory, in bytes. */
  residentBytes(): number;
  /** Bytes sent to storage so far, page by page, as Linux counts them. */
  writtenBytes(): number;
  stop(): Promise<void>;
}

/** Starts a program with its output in `outputFile` and waits until `ready` answers true. */
export async function startServer(
  command: string,
  args: readonly string[],
  outputFile: string,
  ready: () => Promise<boolean>,
): Promise<Server> {
  const output = openSync(outputFile, 'a');
  const child = spawn(command, args, { stdio: ['ignore', output, output] });
  closeSync(output);
  const ended = once(child, 'exit');
  const failed = once(child, 'error');
  failed.catch(() => {});
  for (const endMs = performance.now() + READY_MS_MAX; !(await ready()); ) {
    if (child.exitCode !== null || child.pid === undefined || performance.now() > endMs) {
      child.kill('SIGKILL');
      throw new Error(`${command} did not get ready:\n${readFileSync(outputFile, 'utf8')}`);
    }
    await delay(LOOK_EVERY_MS);
  }
  return {
    cpuMs: () => cpuMsOf(child.pid),
    residentBytes: () => residentBytesOf(child.pid),
    writtenBytes: () => writtenBytesOf(child.pid),
    stop: () => stop(child, ended),
  };
}

async function stop(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const patience = new AbortController();
  const late = delay(STOP_MS_MAX, undefined, { signal: patience.signal }).then(
    () => child.kill('SIGKILL'),
    () => {}, // it stopped in time
  );
  await ended;
  patience.abort();
  await late;
}

function cpuMsOf(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // the name may hold spaces
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function residentBytesOf(pid: number | undefined): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1]) * 1024;
}

function writtenBytesOf(pid: number | undefined): number {
  const match = /^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'));
  return Number(match?.[1]);
}
