import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { holdfastHub } from './holdfast-hub.ts';

/** From dist/grafana-dashboards/, where this runs, to the root of the repository. */
const ROOT = join(import.meta.dirname, '../..');

/** Path from the root of the repository, and content, of every file made from the builders. */
export function generatedFiles(): Map<string, string> {
  return new Map([
    ['grafana-dashboards/json/holdfast-hub.json', `${JSON.stringify(holdfastHub(), null, 2)}\n`],
  ]);
}

async function writeGeneratedFiles(): Promise<void> {
  for (const [path, content] of generatedFiles()) {
    const file = join(ROOT, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
    process.stdout.write(`${path}\n`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await writeGeneratedFiles();
