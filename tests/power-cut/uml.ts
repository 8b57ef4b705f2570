import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../support/repository.ts';
import { runCommand } from './commands.ts';
import { WRITER, type WriterRun } from './writer-process.ts';

/** Node.js takes some 60 MB of it. */
const MEMORY = '384M';
const SOURCES = join(ROOT, 'tests', 'power-cut');

/** The program, and the Debian package that brings it. */
export const UML_PACKAGES = { 'linux.uml': 'user-mode-linux', gcc: 'gcc libc6-dev' };

export class Uml {
  readonly #folder: string;
  readonly #library: string;
  readonly #init: string;

  /** `folder` is empty, and its own. */
  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder);
    this.#library = join(folder, 'whole-xstate.so');
    const source = join(SOURCES, 'whole-xstate.c');
    runCommand('gcc', '-O2', '-Wall', '-shared', '-fPIC', '-o', this.#library, source, '-ldl');
    this.#init = join(folder, 'init');
    runCommand('cp', join(SOURCES, 'guest-init.sh'), this.#init);
    chmodSync(this.#init, 0o755); // a checkout need not have kept it
  }

  /**
   * Program and arguments that boot a machine whose only disk is `image`, and run a writer in it.
   */
  boot(image: string, run: Omit<WriterRun, 'folder' | 'stamped'>): [string, string[]] {
    const environment = {
      HOLDFAST_NODE: process.execPath,
      HOLDFAST_WRITER: WRITER,
      HOLDFAST_SEED: run.seed,
      HOLDFAST_BOOT: run.boot,
      HOLDFAST_DURABILITY: run.durability,
    };
    const kernel = [
      ...[`mem=${MEMORY}`, 'root=hostfs', 'rootfstype=hostfs', 'hostfs=/', 'ro'],
      ...[`ubd0=${image}`, `init=${this.#init}`, `uml_dir=${this.#folder}`],
      ...['quiet', 'con=null', 'con0=null,fd:1'],
    ];
    const words = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    return ['env', [`LD_PRELOAD=${this.#library}`, 'linux.uml', ...kernel, ...words]];
  }
}
