import { readFact } from './read-fact.ts';
import type { MachineRoots } from './roots.ts';

export interface Mount {
  readonly folder: string;
  readonly type: string;
  /** Such as `/dev/mmcblk0p2`. */
  readonly source: string;
  /** `major:minor`, 0 as major where there is no device. */
  readonly device: string;
  readonly options: readonly string[];
}

/** The mount that a folder is on: `path` is absolute and without links. */
export async function mountOf(path: string, roots: MachineRoots): Promise<Mount | undefined> {
  const text = (await readFact(roots.proc, 'self', 'mountinfo')) ?? '';
  let best: Mount | undefined;
  for (const line of text.split('\n')) {
    const mount = parseMount(line);
    if (!mount || !isWithin(path, mount.folder)) continue;
    if (!best || mount.folder.length >= best.folder.length) best = mount; // a later one covers
  }
  return best;
}

/** `36 35 98:0 /mnt1 /mnt/parent rw,noatime master:1 - ext3 /dev/root rw,errors=continue` */
function parseMount(line: string): Mount | undefined {
  const [before = '', after] = line.split(' - ');
  if (after === undefined) return undefined;
  const [, , device = '', , folder = '', options = ''] = before.split(' ');
  const [type = '', source = '', superOptions = ''] = after.split(' ');
  return {
    folder: unescaped(folder),
    type,
    source: unescaped(source),
    device,
    options: [...options.split(','), ...superOptions.split(',')],
  };
}

/** Spaces in names are octal. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
