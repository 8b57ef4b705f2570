import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'vite';

/** The checkout, seen from `dist/tests/support/`. */
const ROOT = join(import.meta.dirname, '..', '..', '..');

export interface ConsoleBuild {
  readonly dir: string;
  /** Names and sizes in bytes of the pre-compressed files. */
  compressedSizes(): Promise<ReadonlyMap<string, number>>;
  remove(): Promise<void>;
}

/** Builds the console page from its source into a folder of its own (under a second). */
export async function buildConsole(): Promise<ConsoleBuild> {
  const dir = await mkdtemp(join(tmpdir(), 'holdfast-console-'));
  await build({
    configFile: join(ROOT, 'console', 'vite.config.ts'),
    logLevel: 'error',
    build: { outDir: dir },
  });
  return {
    dir,
    async compressedSizes() {
      const names = (await readdir(dir, { recursive: true })).filter((name) =>
        name.endsWith('.gz'),
      );
      const sizes = await Promise.all(
        names.map(async (name) => [name, (await readFile(join(dir, name))).length] as const),
      );
      return new Map(sizes);
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}
