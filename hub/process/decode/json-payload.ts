import type { JsonField } from './compiled-rule.ts';
import { type Harvest, TEXT_VALUE_CHARS_MAX } from './harvest.ts';

/** Keys that are the time of a payload whatever they hold; `t` may as well be a temperature. */
const TIME_KEYS = ['time', 'ts', 'timestamp'] as const;
const SINGLE_TIME_KEYS = ['t', ...TIME_KEYS] as const;
const SINGLE_KEYS: ReadonlySet<string> = new Set([
  ...['v', 'value', 'u', 'unit', 'age_ms'],
  ...SINGLE_TIME_KEYS,
]);
/** A unit is a few characters. */
const UNIT_CHARS_MAX = 32;

type Json = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** JSON can say `"\ud800"`, which no UTF-8 can: such halves become U+FFFD. */
function wellFormed(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0xd800 && code <= 0xdfff) return Buffer.from(text, 'utf8').toString('utf8');
  }
  return text;
}

/** Adds `value` when it can be a reading; says whether it was one. */
function addLeaf(harvest: Harvest, metric: string, value: unknown, unit?: string): boolean {
  switch (typeof value) {
    case 'number':
      if (!Number.isFinite(value)) return false; // 1e400 is valid JSON
      break;
    case 'string':
      if (value.length > TEXT_VALUE_CHARS_MAX) return false;
      harvest.add(wellFormed(metric), wellFormed(value), unit);
      return true;
    case 'boolean':
      break;
    default:
      return false;
  }
  harvest.add(wellFormed(metric), value, unit);
  return true;
}

function lookUp(value: Json, field: JsonField): unknown {
  if (Object.hasOwn(value, field.key)) return value[field.key];
  let at: unknown = value;
  for (const key of field.path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = Reflect.get(at, key);
  }
  return at;
}

function addFields(harvest: Harvest, value: Json, fields: readonly JsonField[]): void {
  let found = 0;
  for (const field of fields)
    if (addLeaf(harvest, harvest.metricOf(field.metric), lookUp(value, field))) found++;
  if (found === 0) harvest.error = `has none of the fields ${fields.map((f) => f.key).join(', ')}`;
}

/** `v` or `value` when the object is one value with its circumstances, else undefined. */
function singleKey(harvest: Harvest, value: Json, keys: readonly string[]): string | undefined {
  const key = Object.hasOwn(value, 'v') ? 'v' : Object.hasOwn(value, 'value') ? 'value' : undefined;
  // Without a metric in the topic `{"v":230,"i":2,"p":460}` is volts among others, not the value.
  if (key === undefined || harvest.topicNamesMetric) return key;
  return keys.every((other) => SINGLE_KEYS.has(other)) ? key : undefined;
}

function addSingle(harvest: Harvest, value: Json, key: string): void {
  if (harvest.rule.time === undefined) {
    const own = SINGLE_TIME_KEYS.filter((name) => Object.hasOwn(value, name));
    const isTimed = own.some((name) => harvest.takeTime(value[name], 'auto'));
    if (!isTimed && Object.hasOwn(value, 'age_ms')) harvest.takeAge(value['age_ms']);
  }
  const named = Object.hasOwn(value, 'u') ? value['u'] : undefined;
  const unit = named ?? (Object.hasOwn(value, 'unit') ? value['unit'] : undefined);
  const text = typeof unit === 'string' && unit.length <= UNIT_CHARS_MAX ? unit : undefined;
  if (!addLeaf(harvest, harvest.onlyMetric, value[key], text && wellFormed(text)))
    harvest.error = `has a \`${key}\` that is no finite number, boolean or short text`;
}

/** Takes the time of an object of several values; answers which leaf it was, by the leaf's name. */
function takeTimeAmong(harvest: Harvest, value: Json): string | undefined {
  if (harvest.rule.time !== undefined) {
    const { key, path } = harvest.rule.time.field;
    return Object.hasOwn(value, key) ? key : path.join('_');
  }
  for (const key of TIME_KEYS)
    if (Object.hasOwn(value, key)) {
      harvest.takeTime(value[key], 'auto');
      return key;
    }
  return Object.hasOwn(value, 't') && harvest.takeTime(value['t'], 'auto') ? 't' : undefined;
}

function addLeaves(harvest: Harvest, value: Json, keys: readonly string[]): void {
  const timeLeaf = takeTimeAmong(harvest, value);
  let found = 0;
  for (const key of keys) {
    if (key === timeLeaf) continue;
    const leaf = value[key];
    if (isObject(leaf)) {
      for (const inner of Object.keys(leaf)) {
        const name = `${key}_${inner}`;
        if (name === timeLeaf) continue;
        if (addLeaf(harvest, harvest.metricOf(name), leaf[inner])) found++;
        if (harvest.overflowed) return;
      }
    } else if (addLeaf(harvest, harvest.metricOf(key), leaf)) found++;
    if (harvest.overflowed) return;
  }
  if (found === 0) harvest.error = 'has no number, boolean or short text in it';
}

/** Takes the readings of a parsed JSON payload. */
export function readJson(harvest: Harvest, value: unknown): void {
  const { jsonFields, time } = harvest.rule;
  if (!isObject(value)) {
    if (jsonFields !== undefined) harvest.error = 'is no JSON object, so it has none of the fields';
    else if (!addLeaf(harvest, harvest.onlyMetric, value))
      harvest.error = 'is JSON, but no object, finite number, boolean or short text';
    return;
  }
  if (time !== undefined) harvest.takeTime(lookUp(value, time.field), time.unit);
  if (jsonFields !== undefined) {
    addFields(harvest, value, jsonFields);
    return;
  }
  const keys = Object.keys(value);
  const single = singleKey(harvest, value, keys);
  if (single !== undefined) addSingle(harvest, value, single);
  else addLeaves(harvest, value, keys);
}
