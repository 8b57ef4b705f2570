import { z } from 'zod';
import { schema } from '../schema.ts';

export type JsonSchema = z.core.JSONSchema.BaseSchema;

/** The schema of what is written in the file, as JSON Schema: what the documents are made from. */
export function writtenSchema(): JsonSchema {
  const written: JsonSchema = z.toJSONSchema(schema, {
    io: 'input',
    override: ({ jsonSchema }) => {
      // The real default belongs to the machine on which the documents were made.
      if (jsonSchema['x-default'] !== undefined) delete jsonSchema.default;
    },
  });
  return written;
}

export const isSchema = (value: unknown): value is JsonSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function propertiesOf(node: JsonSchema): readonly (readonly [string, JsonSchema])[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, value]) =>
    isSchema(value) ? [[key, value] as const] : [],
  );
}

/** The shapes that the items of a list can have; empty for a list of plain values. */
export function itemShapes(node: JsonSchema): readonly JsonSchema[] {
  const { items } = node;
  if (!isSchema(items) || Array.isArray(items)) return [];
  const shapes = items.oneOf ?? [items];
  return shapes.flatMap((shape) => (isSchema(shape) && shape.properties ? [shape] : []));
}

/** The shapes of a mapping that can have several; empty for any other node. */
export function mappingShapes(node: JsonSchema): readonly JsonSchema[] {
  return (node.oneOf ?? []).filter((shape) => isSchema(shape)).filter((shape) => shape.properties);
}

/** The key whose value tells the shapes of a list apart, and its value in `shape`. */
export function discriminatorOf(
  shape: JsonSchema,
): { readonly key: string; readonly value: string } | undefined {
  for (const [key, { const: value }] of propertiesOf(shape))
    if (typeof value === 'string') return { key, value };
  return undefined;
}

/** Whatever is no text can also be written as `${ENV}`. */
const FROM_ENVIRONMENT: JsonSchema = { type: 'string', pattern: '\\$\\{' };
const FROM_FILE: JsonSchema = {
  type: 'object',
  properties: { file: { type: 'string', description: 'A file that holds the secret.' } },
  required: ['file'],
  additionalProperties: false,
};

const ANNOTATIONS: ReadonlySet<string> = new Set(['title', 'description', 'default', 'examples']);

/** `config/holdfast.schema.json`: completion and checks while typing, in any editor. */
export function editorSchema(): JsonSchema {
  return { title: 'Holdfast configuration', ...forEditors(writtenSchema(), false) };
}

function forEditors(node: JsonSchema, optional: boolean): JsonSchema {
  const result: JsonSchema = {};
  for (const [key, value] of Object.entries(node)) {
    if (key.startsWith('x-') || key === 'writeOnly') continue;
    if (key === 'properties') {
      const required = new Set(node.required ?? []);
      result.properties = Object.fromEntries(
        propertiesOf(node).map(([name, child]) => [name, forEditors(child, !required.has(name))]),
      );
    } else if ((key === 'items' || key === 'additionalProperties') && isSchema(value))
      result[key] = forEditors(value, false);
    else if ((key === 'oneOf' || key === 'anyOf') && Array.isArray(value))
      result[key] = value.map((branch) => (isSchema(branch) ? forEditors(branch, false) : branch));
    else result[key] = value;
  }
  if (node['writeOnly'] === true) return alternatives(result, FROM_FILE);
  // A key whose lines below are all comments has no value, which counts as not there.
  if (optional && (node.type === 'object' || node.type === 'array'))
    return alternatives(result, { type: 'null' });
  return isNarrow(node) ? alternatives(result, FROM_ENVIRONMENT) : result;
}

function isNarrow({ type, pattern, enum: values }: JsonSchema): boolean {
  if (type === 'number' || type === 'integer' || type === 'boolean') return true;
  return type === 'string' && (pattern !== undefined || values !== undefined);
}

function alternatives(node: JsonSchema, other: JsonSchema): JsonSchema {
  const entries = Object.entries(node);
  const annotations = entries.filter(([key]) => ANNOTATIONS.has(key));
  const constraints = entries.filter(([key]) => !ANNOTATIONS.has(key));
  return { ...Object.fromEntries(annotations), anyOf: [Object.fromEntries(constraints), other] };
}
