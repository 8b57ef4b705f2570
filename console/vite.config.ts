import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

const COMPRESSED = /\.(html|js|css|svg)$/;

/**
 * Writes `<file>.gz` beside every text file of the build, so that a Pi never compresses what it
 * serves. It also clears the old hashed assets itself: the folder is shared with what `tsc` emits
 * for the tests, so Vite must not empty it.
 */
function gzipBeside(): Plugin {
  let outDir = '';
  return {
    name: 'gzip-beside',
    apply: 'build',
    configResolved(config) {
      outDir = resolve(config.root, config.build.outDir);
    },
    async buildStart() {
      await rm(join(outDir, 'assets'), { recursive: true, force: true });
    },
    async closeBundle() {
      const assets = (await readdir(join(outDir, 'assets'))).map((name) => join('assets', name));
      for (const name of ['index.html', ...assets]) {
        if (!COMPRESSED.test(name)) continue;
        const text = await readFile(join(outDir, name));
        await writeFile(join(outDir, `${name}.gz`), gzipSync(text, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  plugins: [gzipBeside()],
  build: {
    outDir: '../dist/console',
    emptyOutDir: false,
    target: 'es2022',
    // Inlined assets would be data: URLs, which the content security policy forbids.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
