import { stringify } from 'yaml';
import { describeType } from './describe-type.ts';
import {
  discriminatorOf,
  isSchema,
  itemShapes,
  type JsonSchema,
  mappingShapes,
  propertiesOf,
  writtenSchema,
} from './json-schema.ts';

const INTRODUCTION = `# Configuration

<!-- Made by \`npm run generate\` from config/schema.ts. Do not edit. -->

One YAML file: the one named with \`--config\`, else \`./holdfast.yaml\`, else
\`/etc/holdfast/holdfast.yaml\`, else the built-in demo (\`config/demo.yaml\`). A commented file to
start from is \`config/holdfast.example.yaml\`. \`holdfast check\` reports every problem at once
with its line and column, and exits with 78.

- Unknown keys are errors. A key without a value counts as not there.
- Sizes and durations carry their unit: \`10 MiB\`, \`64 kB\`; \`500 ms\`, \`5 s\`, \`10 min\`,
  \`7 d\`.
- \`\${NAME}\` and \`\${NAME:-default}\` take an environment variable, anywhere in a value;
  \`$\${\` is a plain \`\${\`.
- A secret is text, \`\${NAME}\`, or \`{ file: PATH }\`, for example a systemd credential:
  \`{ file: "\${CREDENTIALS_DIRECTORY}/token" }\`. Secrets are never logged.
- \`hub.data_dir\`, \`file\`, keys that end in \`_file\` or \`_dir\`, and \`{ file: PATH }\` start at the folder of the
  configuration file when they are relative.
- For completion in an editor, begin the file with
  \`# yaml-language-server: $schema=PATH/config/holdfast.schema.json\`.
`;

interface Row {
  readonly key: string;
  readonly node: JsonSchema;
  readonly required: boolean;
}

/** `docs/CONFIG.md`. */
export function referenceDocument(): string {
  const sections = propertiesOf(writtenSchema()).map(([key, node]) => section(key, node));
  return [INTRODUCTION, ...sections].join('\n');
}

function section(key: string, node: JsonSchema): string {
  const parts = [`## ${key}`, node.description ?? ''];
  const shapes = itemShapes(node);
  if (shapes.length > 0) parts.push(...listSection(key, shapes));
  else {
    const rows = rowsOf(node, `${key}.`);
    const lists = rows.filter((row) => isChoice(row.node));
    parts.push(table(rows));
    for (const row of lists) parts.push(...listSection(row.key, itemShapes(row.node)));
  }
  return `${parts.join('\n\n')}\n`;
}

/**
 * A list whose items differ by their `type`: what all have first, then each type, and lists of the
 * same sort in it under headings one level further down.
 */
function listSection(key: string, shapes: readonly JsonSchema[], level = '###'): string[] {
  const [first] = shapes;
  const discriminator = first && discriminatorOf(first)?.key;
  const common =
    first && shapes.length > 1
      ? propertiesOf(first).filter(([name, node]) =>
          shapes.every((shape) => isSame(shape.properties?.[name], node)),
        )
      : [];
  const names = new Set(common.map(([name]) => name));
  const parts: string[] = [];
  if (first && common.length > 0)
    parts.push(`Every item of \`${key}\` has:`, table(rowsOf(only(first, names), '')));
  for (const shape of shapes) {
    const { value } = discriminatorOf(shape) ?? { value: '' };
    const own = propertiesOf(shape).filter(([name]) => !names.has(name) && name !== discriminator);
    const said = shape.properties?.[discriminator ?? ''];
    parts.push(`${level} ${key}: \`${discriminator}: ${value}\``);
    if (isSchema(said) && said.description) parts.push(said.description);
    const rows = rowsOf(only(shape, new Set(own.map(([name]) => name))), '');
    if (rows.length > 0) parts.push(table(rows));
    for (const row of rows.filter(({ node }) => isChoice(node)))
      parts.push(...listSection(`${key}[].${row.key}`, itemShapes(row.node), `${level}#`));
  }
  return parts;
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function only(shape: JsonSchema, names: ReadonlySet<string>): JsonSchema {
  const properties = propertiesOf(shape).filter(([name]) => names.has(name));
  return { ...shape, properties: Object.fromEntries(properties) };
}

function isChoice(node: JsonSchema): boolean {
  return itemShapes(node).some((shape) => discriminatorOf(shape) !== undefined);
}

/** One row a key, required ones first, mappings and lists of mappings opened. */
function rowsOf(node: JsonSchema, prefix: string): Row[] {
  const required = new Set(node.required ?? []);
  const entries = [...propertiesOf(node)].sort(([a], [b]) => rank(a, required) - rank(b, required));
  return entries.flatMap(([name, child]): Row[] => {
    const key = `${prefix}${name}`;
    if (child.properties && !required.has(name)) {
      return [{ key, node: child, required: false }, ...rowsOf(child, `${key}.`)];
    }
    const row = { key, node: child, required: required.has(name) };
    const choices = mappingShapes(child);
    if (choices.length > 0) return [row, ...choices.flatMap((one) => rowsOf(one, `${key}.`))];
    const [shape] = isChoice(child) ? [] : itemShapes(child);
    return shape ? [row, ...rowsOf(shape, `${key}[].`)] : [row];
  });
}

function rank(name: string, required: ReadonlySet<string>): number {
  if (name === 'id') return 0;
  return required.has(name) ? 1 : 2;
}

function table(rows: readonly Row[]): string {
  const lines = rows.map(({ key, node, required }) => {
    const cells = [
      `\`${key}\``,
      describeType(node),
      defaultOf(node, required),
      node.description ?? '',
    ];
    return `| ${cells.map(cell).join(' | ')} |`;
  });
  return ['| key | type | default | meaning |', '|---|---|---|---|', ...lines].join('\n');
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/** Longer defaults, such as the simulated devices, are in the example. */
const DEFAULT_CHARACTERS_MAX = 60;

function defaultOf(node: JsonSchema, required: boolean): string {
  if (required) return '**required**';
  const named = node['x-default'];
  if (typeof named === 'string') return named;
  if (node.properties && node.default !== undefined) return 'those below';
  if (node.default === undefined) return 'none';
  const text = stringify(node.default, {
    collectionStyle: 'flow',
    flowCollectionPadding: false,
    lineWidth: 0,
  }).trim();
  return text.length > DEFAULT_CHARACTERS_MAX ? 'see the example' : `\`${text}\``;
}
