import { isoToMs } from '../core/iso-time.ts';
import { Problem } from './problem.ts';

/**
 * Longer texts name nothing: devices and metrics are at most 256 characters, topics come shorter.
 */
const TEXT_CHARS_MAX = 1_024;
const TIME_EXPECTED = 'ms since 1970, or ISO 8601 such as 2026-03-01T12:00:00Z';

/** The parameters of one request, each asked for once by name. */
export class Query {
  readonly #values: ReadonlyMap<string, string>;

  /** @throws Problem 400 for a parameter that is not in `known` or is given twice. */
  constructor(raw: unknown, known: readonly string[]) {
    const values = new Map<string, string>();
    for (const [name, value] of Object.entries(raw ?? {})) {
      if (!known.includes(name)) {
        const expected = known.length > 0 ? `one of ${known.join(', ')}` : 'no parameters';
        throw badParameter(name, 'is not known here', expected);
      }
      if (typeof value !== 'string')
        throw badParameter(name, 'is given more than once', 'one value');
      if (value.length > TEXT_CHARS_MAX)
        throw badParameter(name, 'is too long', `at most ${TEXT_CHARS_MAX} characters`);
      values.set(name, value);
    }
    this.#values = values;
  }

  /** Undefined when absent; empty counts as given. */
  text(name: string): string | undefined {
    return this.#values.get(name);
  }

  requiredText(name: string): string {
    const value = this.#values.get(name);
    if (value === undefined || value === '')
      throw badParameter(name, 'is missing', 'the name as /api/v1/devices lists it');
    return value;
  }

  integer(name: string, range: { min: number; max: number; fallback: number }): number {
    const text = this.#values.get(name);
    if (text === undefined) return range.fallback;
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= range.min && value <= range.max))
      throw badParameter(
        name,
        'is not in its range',
        `a whole number from ${range.min} to ${range.max}`,
      );
    return value;
  }

  /** ms since 1970, or ISO 8601. */
  timeMs(name: string, fallbackMs: number): number {
    const text = this.#values.get(name);
    if (text === undefined) return fallbackMs;
    // A `+` in a query is a blank: `+02:00` that was not escaped arrives as ` 02:00`.
    return timeOf(name, text.replace(/ (\d\d:?\d\d)$/, plusZone));
  }

  /** `from` and `to`; by default the last `spanMs` before `nowMs`. */
  range(nowMs: number, spanMs: number): { fromMs: number; toMs: number } {
    const toMs = this.timeMs('to', nowMs);
    const fromMs = this.timeMs('from', toMs - spanMs);
    return rangeOf(fromMs, toMs);
  }
}

/** The members of a JSON body, each asked for once by name. */
export class Body {
  readonly #values: ReadonlyMap<string, unknown>;

  /** @throws Problem 400 for what is no object, or has a member that is not in `known`. */
  constructor(raw: unknown, known: readonly string[]) {
    const expected = `a JSON object with ${known.join(', ')}`;
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
      throw new Problem(400, `The body is not what is expected: ${expected}.`, { expected });
    for (const name of Object.keys(raw))
      if (!known.includes(name)) throw badParameter(name, 'is not known here', expected);
    this.#values = new Map(Object.entries(raw));
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** As it was given; undefined when it is absent. */
  value(name: string): unknown {
    return this.#values.get(name);
  }

  is(name: string, word: string): boolean {
    return this.#values.get(name) === word;
  }

  /** One of `words`; undefined when it is absent. */
  word<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const value = this.#values.get(name);
    const word = words.find((candidate) => candidate === value);
    if (value === undefined || word !== undefined) return word;
    throw badParameter(name, 'is not known here', `one of ${words.join(', ')}`);
  }

  integer(name: string, range: { min: number; max: number }): number {
    const value = this.#values.get(name);
    if (Number.isInteger(value) && Number(value) >= range.min && Number(value) <= range.max)
      return Number(value);
    const expected = `a whole number from ${range.min} to ${range.max}`;
    throw badParameter(name, 'is not in its range', expected);
  }

  /** ms since 1970, or ISO 8601. */
  timeMs(name: string): number {
    const value = this.#values.get(name);
    if (value === undefined) throw badParameter(name, 'is missing', TIME_EXPECTED);
    return timeOf(name, String(value));
  }

  /** `from` and `to`. */
  range(): { fromMs: number; toMs: number } {
    return rangeOf(this.timeMs('from'), this.timeMs('to'));
  }
}

function timeOf(name: string, text: string): number {
  const ms = /^\d{1,15}$/.test(text) ? Number(text) : isoToMs(text);
  if (ms === undefined) throw badParameter(name, 'is no time', TIME_EXPECTED);
  return ms;
}

function rangeOf(fromMs: number, toMs: number): { fromMs: number; toMs: number } {
  if (fromMs >= toMs) throw badParameter('from', 'is not before `to`', 'a time before `to`');
  return { fromMs, toMs };
}

export function badParameter(parameter: string, what: string, expected: string): Problem {
  const name = parameter.slice(0, 64);
  return new Problem(400, `The parameter \`${name}\` ${what}. Expected: ${expected}.`, {
    parameter: name,
    expected,
  });
}

/** `2026-03-01 12:00` has a blank of its own, before its only time: that one stays. */
function plusZone(match: string, zone: string, at: number): string {
  return at > 10 ? `+${zone}` : match;
}
