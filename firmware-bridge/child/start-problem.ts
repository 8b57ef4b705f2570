import { constants } from 'node:fs';
import { access, open, stat } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { describeError, HubError } from '../../hub/core/errors.ts';
import { printable } from '../../hub/core/printable.ts';

/** A `#!` line is at most so long (kernel: BINPRM_BUF_SIZE). */
const SHEBANG_BYTES_MAX = 256;
const NAME_CHARACTERS_MAX = 200;
/** Passes by itself: the machine has too many processes, files or too little memory for now. */
const PASSING: ReadonlySet<string> = new Set(['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM']);

export interface Attempt {
  readonly command: string;
  readonly cwd: string | undefined;
  /** Where a command without a slash is looked for. */
  readonly path: string | undefined;
}

/** Why a program cannot be started, and what to do about it. Each part of a sentence. */
export interface Obstacle {
  readonly problem: string;
  readonly remedy: string;
}

/** What was thrown when a program was started, as a HubError BRIDGE_LOST for people. */
export async function startProblem(error: unknown, attempt: Attempt): Promise<HubError> {
  const known = ofCode(codeOf(error), attempt);
  const found = known ? known : await findProgram(attempt);
  if ('problem' in found)
    return new HubError('BRIDGE_LOST', `${found.problem}: ${found.remedy}`, { cause: error });
  return new HubError('BRIDGE_LOST', `${named(attempt)} cannot be started`, { cause: error });
}

const codeOf = (error: unknown) =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

const named = ({ command }: Attempt) =>
  `the program \`${printable(command, NAME_CHARACTERS_MAX)}\``;

function ofCode(code: string, attempt: Attempt): Obstacle | undefined {
  if (PASSING.has(code))
    return {
      problem: `${named(attempt)} cannot be started now (${code})`,
      remedy: 'the machine is short of memory or has too many processes',
    };
  if (code === 'E2BIG')
    return {
      problem: `${named(attempt)} has too many or too long arguments`,
      remedy: 'put them in a file',
    };
  if (code === 'ENOEXEC')
    return {
      problem: `${named(attempt)} is not made for this processor, or is a script that does not say so`,
      remedy: 'begin a script with a line like `#!/bin/sh`',
    };
  return undefined;
}

/** Where the program is, or what is in the way of starting it. Only looks. */
export async function findProgram(attempt: Attempt): Promise<{ readonly file: string } | Obstacle> {
  const { command } = attempt;
  const folder = await folderObstacle(attempt);
  if (folder) return folder;
  const file = command.includes('/') ? fileOf(attempt) : await inPath(attempt);
  if (file === undefined)
    return {
      problem: `${named(attempt)} is not installed, or not in the PATH of the hub`,
      remedy: `install it, or write its whole path (PATH is ${attempt.path ?? 'not set'})`,
    };
  try {
    if (!(await stat(file)).isFile())
      return { problem: `${named(attempt)} is no file`, remedy: 'name the program itself' };
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? absent(attempt, file) : hidden(attempt, file);
  }
  const isRunnable = await access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
  return isRunnable ? await interpreterObstacle(attempt, file) : denied(attempt, file);
}

const absent = (attempt: Attempt, file: string): Obstacle => ({
  problem: `${named(attempt)} is not there`,
  remedy: `correct the path, or put it at ${file}`,
});

const hidden = (attempt: Attempt, file: string): Obstacle => ({
  problem: `${named(attempt)} lies in a folder that the user of the hub may not enter`,
  remedy: `see \`namei -l ${file}\``,
});

const denied = (attempt: Attempt, file: string): Obstacle => ({
  problem: `${named(attempt)} may not be run by the user of the hub`,
  remedy: `\`chmod +x ${file}\`, and see that its file system is not mounted \`noexec\``,
});

async function folderObstacle(attempt: Attempt): Promise<Obstacle | undefined> {
  const { cwd } = attempt;
  if (cwd === undefined) return undefined;
  const remedy = 'make it, or correct the path';
  try {
    if (!(await stat(cwd)).isDirectory())
      return { problem: `${named(attempt)} is to run in ${cwd}, which is no folder`, remedy };
    await access(cwd, constants.X_OK);
    return undefined;
  } catch (error) {
    const why = describeError(error);
    return {
      problem: `${named(attempt)} is to run in a folder that cannot be used, ${why}`,
      remedy,
    };
  }
}

const fileOf = ({ command, cwd }: Attempt) =>
  isAbsolute(command) ? command : resolve(cwd ?? '.', command);

/** The one that can be run; else one that is there. */
async function inPath({ command, path = '' }: Attempt): Promise<string | undefined> {
  let denied: string | undefined;
  for (const folder of path.split(':')) {
    const file = join(folder || '.', command);
    try {
      await access(file, constants.X_OK);
      return file;
    } catch (error) {
      if (codeOf(error) === 'EACCES') denied ??= file;
    }
  }
  return denied;
}

async function interpreterObstacle(
  attempt: Attempt,
  file: string,
): Promise<{ readonly file: string } | Obstacle> {
  const interpreter = await interpreterOf(file);
  if (interpreter === undefined || !interpreter.startsWith('/')) return { file };
  const [program = ''] = interpreter.split(/\s/);
  try {
    await access(program, constants.X_OK);
    return { file };
  } catch {
    const problem = `${named(attempt)} begins with \`#!${interpreter}\`, which cannot be run`;
    return { problem, remedy: `install ${program}, or correct that line` };
  }
}

async function interpreterOf(file: string): Promise<string | undefined> {
  try {
    await using handle = await open(file);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(SHEBANG_BYTES_MAX));
    const [, line] = /^#!([^\n]*)/.exec(buffer.toString('latin1', 0, bytesRead)) ?? [];
    return line === undefined ? undefined : printable(line.trim(), SHEBANG_BYTES_MAX);
  } catch {
    return undefined; // may be run, but not read
  }
}
