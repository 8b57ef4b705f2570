import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The folder of package.json, seen from dist/tests/support. */
export const ROOT = join(import.meta.dirname, '..', '..', '..');

/**
 * Text of every file, by its path from the root with `/`. A plain map, so that a test can plant
 * one.
 */
export type Repository = ReadonlyMap<string, string>;

const BINARY = /\.(png|jpg|ico|woff2|gz)$/;

/**
 * What is in the repository or would be with the next commit: what git ignores is not looked at,
 * and neither are binary files.
 */
export function readRepository(): Repository {
  const list = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const paths = execFileSync('git', list, { cwd: ROOT, encoding: 'utf8' }).split('\0');
  const texts = paths
    .filter((path) => path !== '' && !BINARY.test(path) && existsSync(join(ROOT, path)))
    .map((path) => [path, readFileSync(join(ROOT, path), 'utf8')] as const);
  return new Map(texts);
}

/** A repository with one file more, or one replaced. */
export function planted(repository: Repository, path: string, text: string): Repository {
  return new Map([...repository, [path, text]]);
}
