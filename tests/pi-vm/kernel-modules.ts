import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { output } from './programs.ts';

const SUFFIX = '.ko.xz';

/** Modules are named with `-` or `_`, as it comes; the kernel does not distinguish them. */
const plain = (name: string) => name.replaceAll('-', '_');

/**
 * Takes the wanted modules and what they need out of an unpacked kernel, in the order in which they
 * have to be loaded. This machine needs no kmod for it, and the guest no depmod.
 */
export class KernelModules {
  readonly #paths: ReadonlyMap<string, string>;
  readonly #busybox: string;
  readonly #to: string;
  readonly #order: string[] = [];

  /** `kernel` is searched; `busybox` is a program that can undo xz; `to` gets the modules. */
  constructor(kernel: string, busybox: string, to: string) {
    const files = readdirSync(kernel, { recursive: true, withFileTypes: true });
    this.#paths = new Map(
      files
        .filter((file) => file.name.endsWith(SUFFIX))
        .map(({ name, parentPath }) => [
          plain(name.slice(0, -SUFFIX.length)),
          join(parentPath, name),
        ]),
    );
    this.#busybox = busybox;
    this.#to = to;
  }

  /** Answers the name under which it lies in `to`, without `.ko`. */
  take(name: string): string {
    const module = plain(name);
    if (this.#order.includes(module)) return module;
    const path = this.#paths.get(module);
    if (!path) throw new Error(`this kernel has no module ${name}`);
    const bytes = output(this.#busybox, ['xz', '-dc', path]);
    for (const needed of neededBy(bytes)) if (this.#paths.has(plain(needed))) this.take(needed);
    writeFileSync(join(this.#to, `${module}.ko`), bytes);
    this.#order.push(module);
    return module;
  }

  get order(): readonly string[] {
    return this.#order;
  }
}

/** A module says what it needs in its section .modinfo: `depends=a,b`, between zeros. */
function neededBy(module: Buffer): string[] {
  const start = module.indexOf('\0depends=');
  if (start < 0) return [];
  const from = start + '\0depends='.length;
  const names = module.toString('latin1', from, module.indexOf(0, from));
  return names.split(',').filter((name) => name !== '');
}
