/** The guest's only file system, which is in memory: Debian's programs, Node.js, and the hub. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../support/repository.ts';
import { Archive } from './archive.ts';
import type { GuestParts } from './guest-parts.ts';

/** Of dist: what the hub is, and the tests that run in the guest. */
const BUILT = [
  ...['hub', 'config', 'firmware-bridge', 'sinks', 'console'],
  ...['tests/support', 'tests/pi-vm', 'tests/firmware-bridge'],
];
/** Sources and words that no program reads. */
const UNREAD =
  /\.(md|markdown|map|c|cc|cpp|h|hpp|gypi?|txt)$|\.d\.[cm]?ts$|\/build\/Release\/obj\b/;
const EMPTY_FOLDERS = ['dev', 'proc', 'sys', 'tmp', 'run', 'root', 'usr/sbin'];
/** Debian's merge of /usr, which its packages leave to the installation. */
const LINKS = ['bin', 'sbin', 'lib', 'lib64'];

interface LockFile {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly link?: boolean }>>;
}

/** Folders of the packages that an installed hub has. */
function productionPackages(): string[] {
  const lock: LockFile = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  return Object.entries(lock.packages)
    .filter(([path, { dev }]) => path !== '' && !dev && existsSync(join(ROOT, path)))
    .map(([path]) => path);
}

/** Writes the archive to `path`. The guest runs `command` with its shell, in the hub's folder. */
export function writeGuestRoot(path: string, parts: GuestParts, command: string): void {
  const archive = new Archive(path);
  for (const folder of EMPTY_FOLDERS) archive.folder(folder);
  for (const name of LINKS) archive.link(name, `usr/${name}`);
  archive.tree(parts.root, '', (file) => !file.endsWith('/usr/share'));
  archive.tree(parts.modules, 'modules');
  archive.file('usr/bin/node', readFileSync(process.execPath));
  archive.file('init', readFileSync(join(ROOT, 'tests', 'pi-vm', 'guest', 'init.sh')));
  archive.file('command', `${command}\n`);
  addHub(archive);
  archive.close();
}

function addHub(archive: Archive): void {
  archive.file('holdfast/package.json', readFileSync(join(ROOT, 'package.json')));
  for (const folder of BUILT) {
    const from = join(ROOT, 'dist', folder);
    if (existsSync(from)) archive.tree(from, `holdfast/dist/${folder}`);
  }
  for (const folder of productionPackages()) {
    const nested = join(ROOT, folder, 'node_modules');
    archive.tree(
      join(ROOT, folder),
      `holdfast/${folder}`,
      (file) => file !== nested && !UNREAD.test(file),
    );
  }
}
