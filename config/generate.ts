import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { exampleDocument } from './documents/example.ts';
import { editorSchema } from './documents/json-schema.ts';
import { jsonText } from './documents/json-text.ts';
import { referenceDocument } from './documents/reference.ts';
import { packageRoot } from './find-file.ts';

/** Everything that is made from the schema: path from the root of the package → content. */
export function generatedFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['config/holdfast.schema.json', `${jsonText(editorSchema())}\n`],
    ['config/holdfast.example.yaml', exampleDocument()],
    ['docs/CONFIG.md', referenceDocument()],
  ]);
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined; // not made yet
  }
}

/** Writes what has changed, and names it. */
function writeGeneratedFiles(): void {
  for (const [path, content] of generatedFiles()) {
    const file = join(packageRoot(), path);
    if (contentOf(file) === content) continue;
    writeFileSync(file, content);
    console.log(`wrote ${path}`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeGeneratedFiles();
