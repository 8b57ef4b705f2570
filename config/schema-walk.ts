import { z } from 'zod';
import { nearestName } from './nearest-name.ts';

/** Walking a zod schema beside a configuration, to know what is expected at a place. */

/** `schema` without defaults, optionality and transforms: the shape that is written in the file. */
export function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodReadonly
  )
    return unwrap(schema.unwrap());
  if (schema instanceof z.ZodPipe) return unwrap(schema.in);
  return schema;
}

/** Whether `schema` is a `secret()`, however wrapped. */
export function isSecret(schema: z.core.$ZodType | undefined): boolean {
  const written = schema && unwrap(schema);
  return written instanceof z.ZodString && written.meta()?.['writeOnly'] === true;
}

/** Whether text may stand here, so that a number in the place of `${ENV}` stays text. */
export function takesText(schema: z.core.$ZodType | undefined): boolean {
  if (!schema) return true;
  const written = unwrap(schema);
  if (written instanceof z.ZodUnion) return written.options.some(takesText);
  return (
    written instanceof z.ZodString ||
    written instanceof z.ZodStringFormat ||
    written instanceof z.ZodEnum
  );
}

/** The values that an enum or a literal allows; empty for anything else. */
export function allowedValues(schema: z.core.$ZodType | undefined): readonly string[] {
  const written = schema && unwrap(schema);
  if (written instanceof z.ZodEnum) return written.options.map(String);
  if (written instanceof z.ZodLiteral) return [...written.values].map(String);
  return [];
}

interface Variant {
  /** The word that selects it, for example the `type` of a sink. */
  readonly name: string;
  readonly schema: z.ZodObject;
}

/** The objects that a discriminated union chooses from, and the key that chooses. */
export function variantsOf(union: z.ZodDiscriminatedUnion): {
  readonly key: string;
  readonly variants: readonly Variant[];
} {
  const key = union.def.discriminator;
  const variants: Variant[] = [];
  for (const option of union.options) {
    if (!(option instanceof z.ZodObject)) continue;
    for (const name of allowedValues(option.shape[key])) variants.push({ name, schema: option });
  }
  return { key, variants };
}

/** The variant that `value` selects, or was probably meant to select. */
export function selectVariant(union: z.ZodDiscriminatedUnion, value: unknown): Variant | undefined {
  const { variants } = variantsOf(union);
  if (typeof value !== 'string') return undefined;
  const exact = variants.find((variant) => variant.name === value);
  if (exact) return exact;
  const near = nearestName(
    value,
    variants.map((variant) => variant.name),
  );
  return variants.find((variant) => variant.name === near);
}

/** The object schema at this place; `discriminator` reads the key that selects between variants. */
function objectAt(
  schema: z.core.$ZodType,
  discriminator: (key: string) => unknown,
): z.ZodObject | undefined {
  const written = unwrap(schema);
  if (written instanceof z.ZodObject) return written;
  if (!(written instanceof z.ZodDiscriminatedUnion)) return undefined;
  return selectVariant(written, discriminator(written.def.discriminator))?.schema;
}

/** What is expected under `key` of a mapping. */
export function entrySchema(
  schema: z.core.$ZodType | undefined,
  key: string,
  discriminator: (key: string) => unknown,
): z.core.$ZodType | undefined {
  if (!schema) return undefined;
  const written = unwrap(schema);
  if (written instanceof z.ZodRecord) return written.valueType;
  if (written instanceof z.ZodUnion && !(written instanceof z.ZodDiscriminatedUnion)) {
    const record = written.options.find((option) => unwrap(option) instanceof z.ZodRecord);
    return record && entrySchema(record, key, discriminator);
  }
  const shape = objectAt(schema, discriminator)?.shape;
  return shape && Object.hasOwn(shape, key) ? shape[key] : undefined;
}

/** What is expected as an item of a list. */
export function itemSchema(schema: z.core.$ZodType | undefined): z.core.$ZodType | undefined {
  if (!schema) return undefined;
  const written = unwrap(schema);
  if (written instanceof z.ZodArray) return written.element;
  if (!(written instanceof z.ZodUnion)) return undefined;
  const list = written.options.find((option) => unwrap(option) instanceof z.ZodArray);
  return list && itemSchema(list);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What `data` holds at `path`; undefined when there is nothing. */
export function dataAt(data: unknown, path: readonly PropertyKey[]): unknown {
  let value = data;
  for (const part of path) {
    if (Array.isArray(value) && typeof part === 'number') value = value[part];
    else if (isRecord(value) && typeof part === 'string' && Object.hasOwn(value, part))
      value = value[part];
    else return undefined;
  }
  return value;
}

/** What is expected at `path` of `data`; undefined where the schema knows nothing. */
export function schemaAt(
  schema: z.core.$ZodType,
  data: unknown,
  path: readonly PropertyKey[],
): z.core.$ZodType | undefined {
  let place: z.core.$ZodType | undefined = schema;
  for (const [depth, part] of path.entries()) {
    if (typeof part === 'number') place = itemSchema(place);
    else
      place = entrySchema(place, String(part), (key) =>
        dataAt(data, [...path.slice(0, depth), key]),
      );
  }
  return place;
}

/** The keys that may stand in the mapping at `path` of `data`. */
export function keysAt(
  schema: z.core.$ZodType,
  data: unknown,
  path: readonly PropertyKey[],
): readonly string[] {
  const place = schemaAt(schema, data, path);
  const object = place && objectAt(place, (key) => dataAt(data, [...path, key]));
  return object ? Object.keys(object.shape) : [];
}
