/** Turns what zod found into problems that name the line, the key and what to write instead. */
import { z } from 'zod';
import { nearestName } from './nearest-name.ts';
import type { Places } from './places.ts';
import { type ConfigProblem, renderKey } from './problem.ts';
import { allowedValues, dataAt, keysAt, schemaAt, selectVariant, unwrap } from './schema-walk.ts';
import type { ProblemAt } from './yaml-source.ts';

type Path = readonly PropertyKey[];
type Issue = z.core.$ZodIssue;

/** A problem, and whether it is about something that is not there. */
export interface Finding {
  readonly problem: ConfigProblem;
  readonly absent: boolean;
}

export interface Checked {
  readonly schema: z.ZodType;
  readonly data: unknown;
  readonly places: Places;
  readonly problemAt: ProblemAt;
}

/** Stands for zod's own words, so that the words a schema gives itself can be told from them. */
const NO_WORDS = '\u0000';
/** Longer lists of keys help nobody. */
const KEYS_LISTED_MAX = 12;

export interface Findings {
  readonly found: readonly Finding[];
  /** Keys that unknown ones were probably meant to be: not to be called missing. */
  readonly meant: ReadonlySet<string>;
}

/** Everything that `schema` has against the data. */
export function findings(checked: Checked): Findings {
  const result = checked.schema.safeParse(checked.data, { error: () => NO_WORDS });
  const issues = result.success ? [] : onePerWrongType(result.error.issues);
  const explained = issues.flatMap((issue) => explain(checked, issue, []));
  const meant = new Set(explained.flatMap((finding) => finding.meant ?? []));
  const found = explained.filter(({ absent, problem }) => !(absent && meant.has(problem.key)));
  return { found, meant };
}

/** zod also measures what has the wrong type: `id: []` is no text, and not also too short. */
function onePerWrongType(issues: readonly Issue[]): readonly Issue[] {
  const wrong = new Set<string>();
  return issues.filter(({ code, path }) => {
    const key = JSON.stringify(path);
    if (wrong.has(key)) return false;
    if (code === 'invalid_type') wrong.add(key);
    return true;
  });
}

/** `meant`: the key that an unknown one was probably meant to be. */
type Explained = Finding & { readonly meant?: string };

function explain(checked: Checked, issue: Issue, above: Path): Explained[] {
  const path = [...above, ...issue.path];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(checked, path, key));
    case 'invalid_union':
      if (issue.discriminator !== undefined) return wrongVariant(checked, path);
      return alternatives(checked, issue, path);
    case 'invalid_key': {
      const offset = checked.places.headOffset(path);
      const [inner] = issue.issues;
      const { message, hint } = inner ? words(inner, undefined) : { message: 'is not a valid key' };
      return [finding(checked, offset, path, `as a key, ${message}`, hint)];
    }
    default:
      return [plainProblem(checked, issue, path)];
  }
}

function finding(
  checked: Checked,
  offset: number,
  path: Path,
  message: string,
  hint: string | undefined,
  absent = false,
): Explained {
  return { problem: checked.problemAt(offset, renderKey(path), message, hint), absent };
}

function unknownKey(checked: Checked, parent: Path, key: string): Explained {
  const path = [...parent, key];
  const known = keysAt(checked.schema, checked.data, parent);
  const free = known.filter((name) => dataAt(checked.data, [...parent, name]) === undefined);
  const near = nearestName(key, free) ?? nearestName(key, known);
  const listed = known.length <= KEYS_LISTED_MAX ? `known: ${known.join(', ')}` : undefined;
  const hint = near === undefined ? listed : `did you mean \`${near}\`?`;
  const explained = finding(checked, checked.places.headOffset(path), path, 'unknown key', hint);
  return near === undefined ? explained : { ...explained, meant: renderKey([...parent, near]) };
}

function plainProblem(checked: Checked, issue: Issue, path: Path): Explained {
  const value = dataAt(checked.data, path);
  const expected = schemaAt(checked.schema, checked.data, path);
  if (value !== undefined) {
    const place = checked.places.get(path);
    const { message, hint } = words(issue, value, place?.written, expected);
    return finding(checked, checked.places.valueOffset(path), path, message, hint);
  }
  // A rule across keys names the key that is missing in its own words.
  if (issue.code === 'custom')
    return finding(checked, checked.places.headOffset(path), path, issue.message, undefined, true);
  return missing(checked, path, issue.message === NO_WORDS ? expectation(expected) : issue.message);
}

function missing(checked: Checked, path: Path, what: string): Explained {
  const { places } = checked;
  const written = places.get(path);
  const message = written ? `has no value: ${what}` : `is required: ${what}`;
  const offset = written ? places.headOffset(path) : places.headOffset(path.slice(0, -1));
  return finding(checked, offset, path, message, undefined, true);
}

/** `type` or `format` is wrong or missing; the rest is judged as what was probably meant. */
function wrongVariant(checked: Checked, path: Path): Explained[] {
  const parent = path.slice(0, -1);
  const union = unwrap(schemaAt(checked.schema, checked.data, parent) ?? z.unknown());
  if (!(union instanceof z.ZodDiscriminatedUnion)) return [];
  const key = union.def.discriminator;
  const names = union.options.flatMap((option) =>
    option instanceof z.ZodObject ? allowedValues(option.shape[key]) : [],
  );
  const value = dataAt(checked.data, path);
  if (value === undefined) return [missing(checked, path, `one of: ${names.join(', ')}`)];
  const { message, hint } = choice(value, names, checked.places.get(path)?.written);
  const wrong = finding(checked, checked.places.valueOffset(path), path, message, hint);
  const variant = selectVariant(union, value);
  const element = dataAt(checked.data, parent);
  if (!variant || typeof element !== 'object') return [wrong];
  const meant = { ...element, [key]: variant.name };
  const result = variant.schema.safeParse(meant, { error: () => NO_WORDS });
  const rest = result.success ? [] : onePerWrongType(result.error.issues);
  return [wrong, ...rest.flatMap((issue) => explain(checked, issue, parent))];
}

/** Several shapes are allowed: the one whose outermost type fits is what was meant. */
function alternatives(checked: Checked, issue: Issue, path: Path): Explained[] {
  const branches = issue.code === 'invalid_union' ? issue.errors : [];
  const fitting = branches.filter(
    (issues) => !issues.some(({ code, path: at }) => code === 'invalid_type' && at.length === 0),
  );
  const [nearest] = fitting.sort((a, b) => a.length - b.length);
  if (nearest) return nearest.flatMap((inner) => explain(checked, inner, path));
  if (dataAt(checked.data, path) === undefined)
    return [missing(checked, path, expectation(schemaAt(checked.schema, checked.data, path)))];
  const kinds = branches.flatMap((issues) =>
    issues.flatMap((inner) => (inner.code === 'invalid_type' ? [KINDS[inner.expected]] : [])),
  );
  const expected = [...new Set(kinds.filter((kind) => kind !== undefined))].join(' or ');
  const message = `expected ${expected}, not ${kindOf(dataAt(checked.data, path))}`;
  return [finding(checked, checked.places.valueOffset(path), path, message, undefined)];
}

interface Words {
  readonly message: string;
  readonly hint?: string;
}

/** How zod's names of types are said to people. */
const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: '`true` or `false`',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
};

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return 'text';
  if (typeof value === 'number') return 'a number';
  return typeof value === 'boolean' ? `\`${value}\`` : 'a mapping';
}

/** What belongs here, for a key that is missing. */
function expectation(schema: z.core.$ZodType | undefined): string {
  const written = schema && unwrap(schema);
  const names = allowedValues(written);
  if (names.length > 0)
    return names.length === 1 ? `\`${names[0]}\`` : `one of: ${names.join(', ')}`;
  if (written instanceof z.ZodUnion)
    return [...new Set(written.options.map((option) => expectation(option)))].join(' or ');
  if (written instanceof z.ZodArray) return 'a list';
  if (written instanceof z.ZodObject || written instanceof z.ZodRecord) return 'a mapping';
  if (written instanceof z.ZodBoolean) return '`true` or `false`';
  if (written instanceof z.ZodNumber) return 'a number';
  if (!(written instanceof z.ZodType)) return 'a value';
  const { title, examples } = written.meta() ?? {};
  const example = Array.isArray(examples) ? `, for example \`${String(examples[0])}\`` : '';
  return `${title === undefined ? 'text' : withArticle(title)}${example}`;
}

function withArticle(noun: string): string {
  return `${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun}`;
}

function choice(value: unknown, names: readonly string[], written: string | undefined): Words {
  const subject = written === undefined ? 'is' : `\`${written}\` is`;
  const message =
    names.length === 1 ? `must be \`${names[0]}\`` : `${subject} not one of: ${names.join(', ')}`;
  const near = typeof value === 'string' ? nearestName(value, names) : undefined;
  return near === undefined || names.length === 1
    ? { message }
    : { message, hint: `did you mean \`${near}\`?` };
}

const TRUTH: Readonly<Record<string, boolean>> = {
  yes: true,
  on: true,
  no: false,
  off: false,
};

function wrongType(expected: string, value: unknown, schema?: z.core.$ZodType): Words {
  if (expected === 'int' && typeof value === 'number')
    return { message: 'expected a whole number' };
  const message = `expected ${KINDS[expected] ?? expected}, not ${kindOf(value)}`;
  if (expected === 'string' && (typeof value === 'number' || typeof value === 'boolean'))
    return { message, hint: 'put it in quotes' };
  if (typeof value === 'string') {
    if (expected === 'array') return { message, hint: 'put it in `[ ]`' };
    const isNumber = expected === 'number' && /^[-+]?\d+(\.\d+)?$/.test(value);
    if (isNumber || (expected === 'boolean' && /^(true|false)$/.test(value)))
      return { message, hint: 'remove the quotes' };
    const truth = expected === 'boolean' ? TRUTH[value.toLowerCase()] : undefined;
    if (truth !== undefined) return { message, hint: `did you mean \`${truth}\`?` };
  }
  const written = schema && unwrap(schema);
  if (expected === 'object' && written instanceof z.ZodObject)
    return { message, hint: `with the keys ${Object.keys(written.shape).join(', ')}` };
  return { message };
}

/** What one issue says, about a value that is there. `written`: the value, when it may be shown. */
function words(issue: Issue, value: unknown, written?: string, schema?: z.core.$ZodType): Words {
  if (issue.message !== NO_WORDS) return { message: issue.message };
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(issue.expected, value, schema);
    case 'invalid_value':
      return choice(value, issue.values.map(String), written);
    case 'too_small':
      if (issue.origin === 'string' && issue.minimum === 1) return { message: 'is empty' };
      return { message: `must ${bound(issue.origin, 'least', Number(issue.minimum))}` };
    case 'too_big':
      return { message: `must ${bound(issue.origin, 'most', Number(issue.maximum))}` };
    case 'invalid_format':
      return {
        message: issue.format === 'url' ? 'is not a URL' : `is not a valid ${issue.format}`,
      };
    case 'not_multiple_of':
      return { message: `must be a multiple of ${issue.divisor}` };
    default:
      return { message: 'is not valid' };
  }
}

function bound(origin: string, end: 'least' | 'most', limit: number): string {
  const plural = limit === 1 ? '' : 's';
  if (origin === 'string') return `have at ${end} ${limit} character${plural}`;
  if (origin === 'array' || origin === 'set') return `have at ${end} ${limit} item${plural}`;
  return `be at ${end} ${limit}`;
}
