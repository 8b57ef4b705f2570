/**
 * Which process has something open, as far as /proc shows it to this user: what others have open is
 * only shown to root, but their names, users and terminals are shown to everybody.
 */
import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { namesIn, readFact } from './read-fact.ts';
import { MACHINE, type MachineRoots } from './roots.ts';
import { userName } from './user.ts';

/** A busy server has a thousand. */
const PROCESSES_MAX = 4_096;
/** A hub with all its clients has some thousand. */
const OPEN_FILES_MAX = 16_384;

export interface ProcessFacts {
  readonly pid: number;
  /** Short name: `ModemManager`. */
  readonly name: string;
  /** With its arguments; empty for threads of the kernel. */
  readonly command: string;
  readonly user: string;
  readonly uid: number;
}

/** Processes, by number. */
export async function processIds({ proc }: MachineRoots = MACHINE): Promise<readonly number[]> {
  const names = await namesIn(proc);
  return names
    .filter((name) => /^\d+$/.test(name))
    .slice(0, PROCESSES_MAX)
    .map(Number);
}

/** Undefined when it is gone. */
export async function processFacts(
  pid: number,
  roots: MachineRoots = MACHINE,
): Promise<ProcessFacts | undefined> {
  const folder = join(roots.proc, String(pid));
  const name = await readFact(folder, 'comm');
  if (name === undefined) return undefined;
  const command = (await readFact(folder, 'cmdline')) ?? '';
  const uids = /^Uid:\s+\d+\s+(\d+)/m.exec((await readFact(folder, 'status')) ?? '');
  const uid = Number(uids?.[1] ?? 0);
  return { pid, name, command, uid, user: await userName(uid, roots) };
}

/** `name (pid 12, user pi)`. */
export function processText({ name, pid, user }: ProcessFacts): string {
  return `${name} (pid ${pid}, user ${user})`;
}

/** Whether it is a hub, whoever started it and however. */
export function isHub({ command }: ProcessFacts): boolean {
  return /(^|[\s/])(holdfast|hub\/main\.js)\s(.*\s)?run(\s|$)/.test(`${command} `);
}

/** Processes that have open what `wanted` says of a link, such as `/dev/ttyUSB0`, `socket:[12]`. */
export async function whoHasOpen(
  wanted: (link: string) => boolean,
  signal: AbortSignal,
  roots: MachineRoots = MACHINE,
): Promise<readonly number[]> {
  const found: number[] = [];
  for (const pid of await processIds(roots)) {
    signal.throwIfAborted();
    const folder = join(roots.proc, String(pid), 'fd');
    for (const name of (await namesIn(folder)).slice(0, OPEN_FILES_MAX)) {
      if (!wanted(await readlink(join(folder, name)).catch(() => ''))) continue;
      found.push(pid);
      break;
    }
  }
  return found;
}

/** Processes whose terminal is the device `rdev`: a login prompt on a serial port. */
export async function whoseTerminal(
  rdev: number,
  roots: MachineRoots = MACHINE,
): Promise<readonly number[]> {
  const found: number[] = [];
  if (rdev === 0) return found;
  for (const pid of await processIds(roots)) {
    const text = (await readFact(roots.proc, String(pid), 'stat')) ?? '';
    // the name in parentheses may hold anything; after it: state, parent, group, session, terminal
    const terminal = text.slice(text.lastIndexOf(')') + 2).split(' ')[4];
    if (terminal === String(rdev)) found.push(pid);
  }
  return found;
}
