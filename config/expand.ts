/**
 * From YAML nodes to plain data: environment variables and secret files put in their places,
 * aliases followed, and the position of everything remembered.
 *
 * - A key without a value counts as not there: `sinks:` above lines that are all comments.
 * - Whatever is secret or came from the environment is never shown in a problem.
 * - Bounded: depth, values and aliases, so that no file can keep the hub from starting or refusing.
 */
import { isAbsolute, resolve } from 'node:path';
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  type Scalar,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import type { z } from 'zod';
import { type Environment, substituteEnvironment, unmaskReferences } from './environment.ts';
import { Places } from './places.ts';
import { type ConfigProblem, renderKey } from './problem.ts';
import { entrySchema, isSecret, itemSchema, takesText } from './schema-walk.ts';
import { readSecretFile } from './secret-file.ts';
import { DEPTH_MAX } from './yaml-depth.ts';
import type { ProblemAt } from './yaml-source.ts';

/** 64 sinks with every option set are under 5,000. */
const VALUES_MAX = 100_000;
/** Aliases multiply what they stand for; nobody writes a hundred by hand. */
const ALIASES_MAX = 100;
const SHOWN_CHARACTERS_MAX = 40;

type Path = readonly (string | number)[];
type Schema = z.core.$ZodType | undefined;

export interface Expanded {
  readonly data: unknown;
  readonly places: Places;
  readonly problems: readonly ConfigProblem[];
  /** The texts of all secrets, for making sure that no message holds one. */
  readonly secrets: readonly string[];
}

/** Thrown inside this file only: the rest of the document is not worth looking at. */
class TooMuch extends Error {}

export function expandDocument(input: {
  readonly document: Document.Parsed;
  readonly text: string;
  readonly schema: z.core.$ZodType;
  readonly env: Environment;
  /** Folder that relative paths start from. */
  readonly baseDir: string;
  readonly problemAt: ProblemAt;
}): Expanded {
  const expansion = new Expansion(input);
  let data: unknown;
  try {
    data = input.document.contents
      ? expansion.node(input.document.contents, [], input.schema)
      : null;
  } catch (error) {
    if (!(error instanceof TooMuch)) throw error;
  }
  const { places, problems, secrets } = expansion;
  return { data: data ?? {}, places, problems, secrets };
}

class Expansion {
  readonly places = new Places();
  readonly problems: ConfigProblem[] = [];
  readonly secrets: string[] = [];
  readonly #input: Parameters<typeof expandDocument>[0];
  readonly #open = new Set<Node>();
  #values = 0;
  #aliases = 0;

  constructor(input: Parameters<typeof expandDocument>[0]) {
    this.#input = input;
  }

  /** The data of `node`; undefined after a problem that leaves nothing to look at. */
  node(node: Node, path: Path, schema: Schema, keyOffset?: number): unknown {
    const valueOffset = node.range?.[0] ?? keyOffset ?? 0;
    const place = { valueOffset, ...(keyOffset === undefined ? {} : { keyOffset }) };
    this.places.set(path, place);
    this.#values++;
    if (this.#values > VALUES_MAX)
      this.#giveUp(valueOffset, path, 'the file holds too many values');
    if (path.length > DEPTH_MAX) this.#giveUp(valueOffset, path, 'is nested too deeply');
    if (isAlias(node)) return this.#alias(node, path, schema, keyOffset);
    if (isSecret(schema)) return this.#secret(node, path, valueOffset);
    if (isScalar(node)) return this.#scalar(node, path, schema, place);
    if (!isMap(node) && !isSeq(node)) return undefined;
    if (this.#open.has(node)) this.#giveUp(valueOffset, path, 'holds itself');
    this.#open.add(node);
    const data = isMap(node) ? this.#map(node, path, schema) : this.#list(node, path, schema);
    this.#open.delete(node);
    return data;
  }

  #problem(offset: number, path: Path, message: string): void {
    this.problems.push(this.#input.problemAt(offset, renderKey(path), message));
  }

  #giveUp(offset: number, path: Path, message: string): never {
    this.#problem(offset, path.slice(0, DEPTH_MAX), message);
    throw new TooMuch(message);
  }

  #alias(alias: Alias, path: Path, schema: Schema, keyOffset: number | undefined): unknown {
    const offset = alias.range?.[0] ?? 0;
    this.#aliases++;
    if (this.#aliases > ALIASES_MAX)
      this.#giveUp(offset, path, `the file uses more than ${ALIASES_MAX} aliases (\`*name\`)`);
    const target = alias.resolve(this.#input.document);
    if (target) return this.node(target, path, schema, keyOffset);
    this.#problem(offset, path, 'is an alias of nothing; put text that begins with `*` in quotes');
    return undefined;
  }

  #map(map: YAMLMap, path: Path, schema: Schema): unknown {
    // Without a prototype, so that a key called `__proto__` is a key like any other.
    const data: Record<string, unknown> = Object.create(null);
    const names = new Set<string>();
    for (const pair of map.items) {
      const key = this.#key(pair, path);
      if (key === undefined) continue;
      const childPath = [...path, key.name];
      if (names.has(key.name)) {
        this.#problem(key.offset, childPath, 'is there twice');
        continue;
      }
      names.add(key.name);
      const place = entrySchema(schema, key.name, (name) => map.get(name));
      const value = isNode(pair.value)
        ? this.node(pair.value, childPath, place, key.offset)
        : undefined;
      if (value === undefined || value === null) {
        const { offset } = key;
        this.places.set(childPath, { valueOffset: offset, keyOffset: offset });
      } else data[key.name] = this.#absolute(key.name, value, place);
    }
    return data;
  }

  #key(pair: Pair, path: Path): { name: string; offset: number } | undefined {
    const { key } = pair;
    const offset = isNode(key) ? (key.range?.[0] ?? 0) : 0;
    if (!isScalar(key)) {
      this.#problem(offset, path, 'a key must be text');
      return undefined;
    }
    const name = textOf(key);
    if (name !== '__proto__') return { name, offset };
    this.#problem(offset, path, '`__proto__` is not usable as a key');
    return undefined;
  }

  /**
   * Keys that end in `_file` or `_dir`, and `file`, are paths; relative ones start at the folder of
   * the configuration.
   */
  #absolute(key: string, value: unknown, schema: Schema): unknown {
    const isPath =
      /(^file|_file|_dir)$/.test(key) && schema !== undefined && typeof value === 'string';
    return isPath && value !== '' && !isAbsolute(value)
      ? resolve(this.#input.baseDir, value)
      : value;
  }

  #list(list: YAMLSeq, path: Path, schema: Schema): unknown {
    const items = itemSchema(schema);
    const data: unknown[] = [];
    for (const [i, item] of list.items.entries())
      data.push(isNode(item) ? (this.node(item, [...path, i], items) ?? null) : null);
    return data;
  }

  #scalar(scalar: Scalar, path: Path, schema: Schema, place: { valueOffset: number }): unknown {
    const value = typeof scalar.value === 'string' ? textOf(scalar) : scalar.value;
    if (typeof value !== 'string' || !value.includes('${')) {
      const written = unmaskReferences(scalar.source ?? String(value));
      if (written.length <= SHOWN_CHARACTERS_MAX) this.places.set(path, { ...place, written });
      return value;
    }
    const text = this.#substitute(scalar, value, path);
    if (text === undefined) return undefined;
    if (text === '' && scalar.type === 'PLAIN') return null;
    return takesText(schema) ? text : asPlainValue(text);
  }

  #substitute(scalar: Scalar, value: string, path: Path): string | undefined {
    const [start, end] = scalar.range ?? [0, 0];
    const { text, problems } = substituteEnvironment(value, this.#input.env);
    for (const { reference, message } of problems) {
      const within = this.#input.text.slice(start, end).indexOf(reference);
      this.#problem(start + Math.max(0, within), path, message);
    }
    return problems.length > 0 ? undefined : text;
  }

  #secret(node: Node, path: Path, offset: number): string | undefined {
    const text = isScalar(node)
      ? this.#secretText(node, path)
      : this.#secretFile(node, path, offset);
    if (text !== undefined) this.secrets.push(text);
    return text;
  }

  #secretText(scalar: Scalar, path: Path): string | undefined {
    if (scalar.value === null) return undefined;
    // A password of digits is what was typed, not the number it makes: 007 is not 7.
    const value = textOf(scalar);
    const text = value.includes('${') ? this.#substitute(scalar, value, path) : value;
    return text === '' && scalar.type === 'PLAIN' ? undefined : text;
  }

  #secretFile(node: Node, path: Path, offset: number): string | undefined {
    const items = isMap(node) ? node.items : [];
    const [pair] = items;
    const value = pair?.value;
    const isFile = items.length === 1 && isScalar(pair?.key) && pair.key.value === 'file';
    if (!isFile || !isScalar(value) || typeof value.value !== 'string') {
      this.#problem(offset, path, 'expected text, `${ENV_NAME}` or `{ file: PATH }`');
      return undefined;
    }
    const name = this.#substitute(value, textOf(value), path);
    if (name === undefined) return undefined;
    const content = readSecretFile(resolve(this.#input.baseDir, name));
    if (content.ok) return content.text;
    this.#problem(value.range?.[0] ?? offset, path, content.why);
    return undefined;
  }
}

/** What was written, also where YAML made a number of it. */
function textOf(scalar: Scalar): string {
  const { value, source } = scalar;
  return unmaskReferences(typeof value === 'string' ? value : (source ?? String(value)));
}

/** What plain text would be without quotes: `1883` a number, `true` a truth value. */
function asPlainValue(text: string): unknown {
  if (/^[-+]?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (text === 'true' || text === 'false') return text === 'true';
  return text;
}
