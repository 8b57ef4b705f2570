/** What a value can be that is read from a frame. */
export type FieldValue = number | string | boolean;

/**
 * What stood in a frame. `payload`: it is published as it is; its `fields` are only for the topic.
 * `fields`: an object is published, without what went into the topic. `nothing`: a whole frame
 * with nothing to tell, such as a position without a fix.
 */
export type Parsed =
  | { readonly kind: 'payload'; readonly payload: Buffer; readonly fields: Fields }
  | { readonly kind: 'fields'; readonly fields: Fields; readonly topicOnly?: Fields }
  | { readonly kind: 'nothing' };

export type Fields = Readonly<Record<string, unknown>>;

/** Reads one frame; undefined for what is not in the format. Throws nothing. */
export type Format = (frame: Buffer) => Parsed | undefined;

/** More digits than any sensor writes; a longer number is text. */
const NUMBER_CHARACTERS_MAX = 40;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

/** `21.5` → 21.5, `true` → true, anything else stays text. */
export function fieldValue(text: string): FieldValue {
  const trimmed = text.trim();
  if (trimmed.length <= NUMBER_CHARACTERS_MAX && NUMBER.test(trimmed)) {
    const number = Number(trimmed);
    if (Number.isFinite(number)) return number;
  }
  if (trimmed === 'true' || trimmed === 'false') return trimmed === 'true';
  return trimmed;
}

export const NO_FIELDS: Fields = Object.freeze({});

export const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
