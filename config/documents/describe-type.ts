import { isSchema, itemShapes, type JsonSchema, mappingShapes } from './json-schema.ts';

/** The type of a key in words, with its bounds. */
export function describeType(node: JsonSchema): string {
  const { enum: values, anyOf, title, type } = node;
  if (node.const !== undefined) return `\`${String(node.const)}\``;
  if (values) return values.map((value) => `\`${String(value)}\``).join(', ');
  if (anyOf)
    return anyOf.flatMap((branch) => (isSchema(branch) ? describeType(branch) : [])).join(' or ');
  if (mappingShapes(node).length > 0) return 'mapping';
  switch (type) {
    case 'integer':
      return `whole number${range(node.minimum, node.maximum)}`;
    case 'number':
      return `number${range(node.minimum, node.maximum)}`;
    case 'boolean':
      return '`true`, `false`';
    case 'array':
      return describeList(node);
    case 'object':
      return describeMapping(node);
    default:
      return `${title ?? 'text'}${range(node['x-min'], node['x-max'])}`;
  }
}

function describeList(node: JsonSchema): string {
  if (itemShapes(node).length > 0) return 'list of mappings';
  const item = isSchema(node.items) ? describeType(node.items) : 'text';
  return `list of ${item}`;
}

function describeMapping({ additionalProperties }: JsonSchema): string {
  if (!isSchema(additionalProperties)) return 'mapping';
  return `mapping of names to ${describeType(additionalProperties)}`;
}

function range(min: unknown, max: unknown): string {
  // Whole numbers without a bound of their own end where JavaScript's are exact: not worth saying.
  const top = typeof max === 'number' && max >= Number.MAX_SAFE_INTEGER ? undefined : max;
  const bottom = typeof min === 'number' && min <= Number.MIN_SAFE_INTEGER ? undefined : min;
  if (bottom !== undefined && top !== undefined) return `, ${String(bottom)} to ${String(top)}`;
  if (bottom !== undefined) return `, at least ${String(bottom)}`;
  return top === undefined ? '' : `, at most ${String(top)}`;
}
