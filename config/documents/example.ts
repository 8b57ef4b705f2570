/**
 * The commented example: a sentence above every key (`##`), defaults commented out (`#`), what is
 * required not. Types of sinks and bridges that are not in use are commented out as a whole; taking
 * one `# ` away from a block gives a working one.
 */
import { stringify } from 'yaml';
import {
  discriminatorOf,
  isSchema,
  itemShapes,
  type JsonSchema,
  propertiesOf,
  writtenSchema,
} from './json-schema.ts';

const INTRODUCTION = `# yaml-language-server: $schema=./holdfast.schema.json
#
# Holdfast, every key with its default. Made by \`npm run generate\`: copy it to holdfast.yaml and
# change the copy; \`holdfast check\` names every mistake. docs/CONFIG.md is the same as a table.
`;

/** What the example sets, so that it is a hub that does something. */
const SET: Readonly<Record<string, unknown>> = {
  'mqtt.anonymous': true,
  'bridges:serial.port': '/dev/serial/by-id/usb-Raspberry_Pi_Pico_E6614-if00',
};
/** Which items of a list are in use. */
const IN_USE: ReadonlySet<string> = new Set([
  ...['mqtt.listeners:tcp', 'decode:json', 'sinks:file'],
  // without one of its lines the block would not work
  'bridges:gpio.lines:state',
]);
/** Values that neither the examples nor the descriptions in the schema give. */
const VALUES: Readonly<Record<string, unknown>> = {
  'hub.id': 'gateway-01',
  'sinks:file.path': 'export',
  'bridges:modbus.slaves': [
    {
      unit: 1,
      device: 'meter-1',
      registers: [{ metric: 'voltage', address: 0, kind: 'input', type: 'float32', unit: 'V' }],
    },
  ],
  'bridges:gpio.lines:state.device': 'door',
  'bridges:gpio.lines:state.metric': 'open',
  'bridges:i2c.devices': [
    {
      device: 'supply',
      address: 0x40,
      registers: [{ metric: 'voltage', register: 2, type: 'uint16', scale: 0.00125, unit: 'V' }],
    },
  ],
  'bridges:one_wire.sensors': [{ sensor: '28-0316a2795ff0', device: 'cellar' }],
  'bridges:iio.chips': [{ name: 'bme280', device: 'cellar' }],
  'bridges:hwmon.chips': [{ name: 'lm75', device: 'cabinet' }],
  'decode:number.topic': 'meter/{device}/{metric}',
  'decode:csv.topic': 'logger/{device}',
  'decode:csv.fields': ['time', 'temperature', 'humidity'],
};

const WIDTH = 100;

/** `config/holdfast.example.yaml`. */
export function exampleDocument(): string {
  const sections = propertiesOf(writtenSchema()).map(([key, node]) =>
    entry(key, node, key, true).join('\n'),
  );
  return `${[INTRODUCTION, ...sections].join('\n\n')}\n`.replaceAll(/\n{3,}/g, '\n\n');
}

/** The lines of one key, not indented, with its description above. */
function entry(key: string, node: JsonSchema, path: string, required: boolean): string[] {
  const head = sentence(node.description);
  const shapes = itemShapes(node);
  const variants = shapes.filter((shape) => discriminatorOf(shape) !== undefined);
  if (variants.length > 0)
    return [...head, `${key}:`, ...indent(variants.flatMap((shape) => item(shape, path)))];
  if (node.properties) {
    const lines = [`${key}:`, ...indent(mapping(node, path))];
    return [...head, ...(required || node.default !== undefined ? lines : commented(lines))];
  }
  const set = SET[path];
  if (set !== undefined) return [...head, ...value(key, set)];
  if (required) return [...head, ...value(key, exampleOf(node, path))];
  return [...head, ...commented(value(key, node.default ?? exampleOf(node, path)))];
}

function mapping(node: JsonSchema, path: string): string[] {
  const required = new Set(node.required ?? []);
  const entries = [...propertiesOf(node)].sort(([a], [b]) => rank(a, required) - rank(b, required));
  return entries.flatMap(([key, child], i) => [
    ...(i > 0 && (opensBlock(child) || opensBlock(entries[i - 1]?.[1] ?? {})) ? [''] : []),
    ...entry(key, child, `${path}.${key}`, required.has(key)),
  ]);
}

/** A block is set off from what stands above it, and so is the key after it. */
const opensBlock = (node: JsonSchema): boolean =>
  node.properties !== undefined || itemShapes(node).some((shape) => discriminatorOf(shape));

const FIRST = ['id', 'type', 'topic', 'format'];

function rank(key: string, required: ReadonlySet<string>): number {
  if (!required.has(key)) return FIRST.length + 1;
  const position = FIRST.indexOf(key);
  return position < 0 ? FIRST.length : position;
}

function item(shape: JsonSchema, path: string): string[] {
  const name = discriminatorOf(shape)?.value ?? '';
  const lines = mapping(shape, `${path}:${name}`);
  const [start = 0] = lines.flatMap((line, i) => (isLive(line) ? [i] : []));
  const block = lines.map((line, i) => {
    if (i < start) return line;
    return i === start ? `- ${line}` : `  ${line}`.trimEnd();
  });
  return ['', ...(IN_USE.has(`${path}:${name}`) ? block : commented(block))];
}

const isLive = (line: string): boolean => line !== '' && !line.startsWith('#');

function sentence(text: string | undefined): string[] {
  const lines: string[] = [];
  let line = '##';
  for (const word of text?.split(' ') ?? []) {
    if (line.length + 1 + word.length > WIDTH - 10) {
      lines.push(line);
      line = '##';
    }
    line += ` ${word}`;
  }
  return line === '##' ? lines : [...lines, line];
}

const commented = (lines: readonly string[]): string[] =>
  lines.map((line) => (line === '' ? '#' : `# ${line}`));

const indent = (lines: readonly string[]): string[] =>
  lines.map((line) => (line === '' ? '' : `  ${line}`));

/** Short lists and mappings fit on the line of their key. */
const FLOW_CHARACTERS_MAX = 60;

function value(key: string, data: unknown): string[] {
  const isShort = JSON.stringify(data).length <= FLOW_CHARACTERS_MAX;
  const text = stringify(data, {
    collectionStyle: isShort ? 'flow' : 'block',
    lineWidth: 0,
    flowCollectionPadding: false,
  });
  const lines = text.trimEnd().split('\n');
  return isShort ? [`${key}: ${lines.join(' ')}`] : [`${key}:`, ...indent(lines)];
}

/** A value that may stand here; the test of the example tells when one does not. */
function exampleOf(node: JsonSchema, path: string): unknown {
  if (node.const !== undefined) return node.const;
  const type = /:(\w+)\.id$/.exec(path)?.[1];
  const known = VALUES[path] ?? type ?? node.examples?.[0] ?? node.enum?.[0] ?? node.minimum;
  if (known !== undefined) return known;
  if (node['writeOnly'] === true) return `\${${path.split(/[.:]/).join('_').toUpperCase()}}`;
  const quoted = /for example `([^`]+)`/.exec(node.description ?? '')?.[1];
  if (quoted !== undefined) return quoted;
  const branch = node.anyOf?.find((shape) => isSchema(shape) && shape.type === 'array');
  if (isSchema(branch)) return ['temperature', 'humidity'];
  if (path.endsWith('_file')) return `${path.split('.').at(-1)?.replace('_file', '')}.pem`;
  if (node.type === 'object') return {};
  return path.split('.').at(-1);
}
