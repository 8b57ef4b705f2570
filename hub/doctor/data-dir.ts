/** The folder of the log: whether the hub may write it, and who has it open. Opens no log. */
import type { Stats } from 'node:fs';
import { access, constants, opendir, realpath, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Finding } from '../core/finding.ts';
import { errorCodeOf } from '../machine/error-code.ts';
import { processText } from '../machine/processes.ts';
import { namesIn } from '../machine/read-fact.ts';
import type { MachineRoots } from '../machine/roots.ts';
import { type MachineUser, userName } from '../machine/user.ts';
import type { Examination } from './examination.ts';
import type { RunningHub } from './running-hub.ts';

/** A log of 2 GiB has a thousand tables; the first of a wrong owner is enough. */
const FILES_MAX = 4_096;

/** The folder itself, or the nearest above it that exists. */
export async function nearestFolder(path: string): Promise<string> {
  let folder = resolve(path);
  while (!(await isThere(folder))) {
    if (dirname(folder) === folder) break;
    folder = dirname(folder);
  }
  return await realpath(folder).catch(() => folder);
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    (error) => errorCodeOf(error) === 'EACCES',
  );
}

export interface DataDirParts {
  readonly dataDir: string;
  readonly user: MachineUser;
  readonly roots: MachineRoots;
  readonly hub: RunningHub;
}

export function dataDirectory(parts: DataDirParts): Examination {
  const subject = 'data_dir';
  return {
    subject,
    async examine(signal) {
      const { dataDir, user } = parts;
      const running = await parts.hub();
      const found = running
        ? {
            severity: 'ok' as const,
            subject,
            detail: `${dataDir} is in use by the running hub, ${processText(running)}`,
          }
        : await writable(parts, signal);
      const findings: Finding[] = [found];
      const aside = await namesIn(dataDir, 'lost+found');
      if (aside.some((name) => name.endsWith('-report.json'))) {
        const detail = 'damaged parts of the log have been set aside in lost+found';
        const remedy = 'holdfast log verify says what; power and disk below may say why';
        findings.push({ severity: 'note', subject, detail, remedy });
      }
      if (running && running.uid !== user.uid) findings.push(asOther(user, running.user));
      return findings;
    },
  };
}

/** What one user may is not what another may. */
function asOther(user: MachineUser, hubUser: string): Finding {
  const detail = `the hub runs as ${hubUser}, and permissions here are those of ${user.name}`;
  const remedy = `sudo -u ${hubUser} holdfast doctor`;
  return { severity: 'note', subject: 'user', detail, remedy };
}

async function writable({ dataDir, user, roots }: DataDirParts, signal: AbortSignal) {
  const subject = 'data_dir';
  const nearest = await nearestFolder(dataDir);
  const problem = (detail: string, remedy: string): Finding => {
    return { severity: 'problem', subject, detail, remedy };
  };
  let facts: Stats;
  try {
    facts = await stat(nearest);
  } catch (error) {
    const detail = `${dataDir} cannot be looked at by ${user.name} (${errorCodeOf(error)})`;
    return problem(detail, ownershipRemedy(dataDir, user, 'root'));
  }
  if (!facts.isDirectory()) {
    const remedy = 'remove the file, or set another hub.data_dir';
    return problem(`${nearest} is a file, not a folder`, remedy);
  }
  const owner = await userName(facts.uid, roots);
  const isNew = nearest !== (await realpath(dataDir).catch(() => resolve(dataDir)));
  try {
    await access(nearest, constants.W_OK | constants.X_OK);
  } catch (error) {
    const what = isNew ? `cannot be made in ${nearest}` : 'cannot be written';
    const detail = `${dataDir} ${what} by ${user.name}: it belongs to ${owner} (${errorCodeOf(error)})`;
    if (errorCodeOf(error) === 'EROFS')
      return problem(`${nearest} is on a volume that is mounted read-only`, 'see `disk`');
    return problem(detail, ownershipRemedy(dataDir, user, owner, isNew));
  }
  const foreign = isNew ? undefined : await foreignFile(nearest, user, signal);
  if (foreign) {
    const detail = `${foreign} belongs to another user: was the hub run with sudo once?`;
    return problem(detail, ownershipRemedy(dataDir, user, 'root'));
  }
  const detail = isNew ? `${dataDir} can be made` : `${dataDir} can be written (owner ${owner})`;
  return { severity: 'ok', subject, detail } as const;
}

/** A folder of a user other than root is most likely that of the hub's own user. */
function ownershipRemedy(dataDir: string, user: MachineUser, owner: string, isNew = false): string {
  const where = resolve(dataDir);
  const change = isNew
    ? `sudo install -d -o ${user.name} ${where}`
    : `sudo chown -R ${user.name} ${where}`;
  const isSomebodys = owner !== 'root' && !owner.startsWith('uid ');
  if (isSomebodys && !isNew)
    return `sudo -u ${owner} holdfast doctor; if the hub is to run as ${user.name}: ${change}`;
  return `${change}, or run this as the user of the hub`;
}

/** The first file that this user cannot write; root can write all. */
async function foreignFile(
  folder: string,
  user: MachineUser,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (user.uid === 0) return undefined;
  let looked = 0;
  for (const path of [folder, join(folder, 'log')]) {
    const entries = await opendir(path).catch(() => undefined);
    if (!entries) continue;
    for await (const { name } of entries) {
      signal.throwIfAborted();
      const file = join(path, name);
      const mayWrite = await access(file, constants.W_OK).then(
        () => true,
        (error) => errorCodeOf(error) !== 'EACCES',
      );
      if (!mayWrite) return file;
      if (++looked > FILES_MAX) return undefined;
    }
  }
  return undefined;
}
