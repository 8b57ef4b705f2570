import { exampleDocument } from './documents/example.ts';
import { editorSchema } from './documents/json-schema.ts';
import { jsonText } from './documents/json-text.ts';
import { referenceDocument } from './documents/reference.ts';

/** Everything that is made from the schema: path from the root of the package → content. */
export function generatedFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['config/holdfast.schema.json', `${jsonText(editorSchema())}\n`],
    ['config/holdfast.example.yaml', exampleDocument()],
    ['docs/CONFIG.md', referenceDocument()],
  ]);
}
