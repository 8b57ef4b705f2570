/**
 * Packages of a newer Debian than this machine's, fetched by apt itself (which checks signatures
 * and sums) into folders of their own: nothing of this machine's apt is changed, no root is needed.
 * The mirror is the one that this machine has its own packages from.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from './programs.ts';

/** The release that brings gpiod 2, and the only kernels with gpio-sim. */
const RELEASE = 'trixie';
const KERNEL_RELEASE = `${RELEASE}-backports`;
const KERNEL = 'linux-image-amd64';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

function mirror(): string {
  const named = process.env['HOLDFAST_DEBIAN_MIRROR'];
  if (named) return named;
  const codename = /^VERSION_CODENAME=(\S+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  const format = ['--format', '$(RELEASE) $(REPO_URI)', 'Created-By: Packages'];
  const lines = text('apt-get', ['indextargets', ...format]).split('\n');
  const uri = lines.find((line) => line.startsWith(`${codename} `))?.split(' ')[1];
  if (uri) return uri;
  throw new Error(
    `apt has no source for ${codename}: set HOLDFAST_DEBIAN_MIRROR to the address of a mirror of ` +
      'Debian, with its folder',
  );
}

export class PrivateApt {
  readonly #folder: string;
  readonly #options: readonly string[];

  /** `folder` is empty, and its own. */
  constructor(folder: string) {
    this.#folder = folder;
    for (const name of ['lists/partial', 'archives/partial', 'parts'])
      mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, 'status'), '');
    const uri = mirror();
    const sources = [RELEASE, KERNEL_RELEASE].map(
      (release) => `deb [signed-by=${KEYRING}] ${uri} ${release} main\n`,
    );
    writeFileSync(join(folder, 'sources.list'), sources.join(''));
    const settings = {
      'Dir::State::Lists': join(folder, 'lists'),
      'Dir::State::status': join(folder, 'status'),
      'Dir::Cache': folder,
      'Dir::Etc::sourcelist': join(folder, 'sources.list'),
      'Dir::Etc::sourceparts': join(folder, 'parts'),
      'Dir::Etc::preferences': '/dev/null',
      'Dir::Etc::preferencesparts': join(folder, 'parts'),
      'APT::Architecture': 'amd64',
      'APT::Architectures': 'amd64',
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '3',
      'Debug::NoLocking': 'true',
    };
    this.#options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
    text('apt-get', [...this.#options, '-qq', 'update']);
  }

  /** Names of the packages that the newest kernel consists of; its version is in them. */
  kernelPackages(): string[] {
    const about = (name: string) => text('apt-cache', [...this.#options, 'show', name]);
    const depends = (name: string) => /^Depends: (.*)$/m.exec(about(name))?.[1] ?? '';
    const image = /linux-image-[^ ,]+/.exec(depends(`${KERNEL}/${KERNEL_RELEASE}`))?.[0];
    if (!image) throw new Error(`${KERNEL} of ${KERNEL_RELEASE} names no kernel`);
    const parts = depends(image).match(/linux-(binary|modules)-[^ ,]+/g);
    return [image, ...(parts ?? [])];
  }

  /** Fetches packages and unpacks them into `to`; their scripts are not run. */
  unpack(packages: readonly string[], to: string): void {
    const archives = join(this.#folder, 'archives');
    const before = new Set(filesIn(archives));
    text('apt-get', [...this.#options, '-qq', 'download', ...packages], archives);
    mkdirSync(to, { recursive: true });
    for (const file of filesIn(archives).filter((name) => !before.has(name)))
      text('dpkg-deb', ['-x', join(archives, file), to]);
  }
}

const filesIn = (folder: string): string[] =>
  readdirSync(folder).filter((name) => name.endsWith('.deb'));
