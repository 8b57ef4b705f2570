import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** A configuration file, and the folder that relative paths in it start from. */
export interface ConfigSource {
  readonly file: string;
  /** Default: the folder of `file`. */
  readonly baseDir?: string;
}

const LOCAL_FILE = 'holdfast.yaml';
const SYSTEM_FILE = '/etc/holdfast/holdfast.yaml';

/** The folder with package.json: the code runs from dist/ inside it. */
export function packageRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error('the folder with package.json is not there');
    folder = parent;
  }
  return folder;
}

/** The built-in demo. Its data belongs to whoever runs it, so its paths start where they are. */
export function demoConfig(): ConfigSource {
  return { file: join(packageRoot(), 'config', 'demo.yaml'), baseDir: process.cwd() };
}

/**
 * Which configuration counts: the one that was named, else ./holdfast.yaml, else
 * /etc/holdfast/holdfast.yaml, else the built-in demo.
 */
export function resolveConfigFile(explicit?: string): ConfigSource {
  if (explicit !== undefined) return { file: explicit };
  for (const file of [LOCAL_FILE, SYSTEM_FILE]) if (existsSync(file)) return { file };
  return demoConfig();
}

/** The folder that relative paths of `source` start from. */
export function baseDirOf(source: ConfigSource): string {
  return source.baseDir ?? dirname(resolve(source.file));
}
