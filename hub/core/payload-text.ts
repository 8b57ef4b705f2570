import { isUtf8 } from 'node:buffer';

/** What was published, as JSON or text where that says exactly the same, else in Base64. */
export type PayloadText =
  | { readonly json: unknown }
  | { readonly text: string }
  | { readonly base64: string };

/** Blanks between the tokens of JSON; strings are left as they are. */
const BETWEEN_TOKENS = /("(?:[^"\\]|\\.)*")|\s+/g;

export function payloadText(payload: Buffer): PayloadText {
  if (!isUtf8(payload)) return { base64: payload.toString('base64') };
  const text = payload.toString('utf8');
  const json = exactJson(text);
  return json === undefined ? { text } : { json: json.value };
}

/** Undefined for what is no JSON, and for what would not come out as it went in, such as 1e999. */
function exactJson(text: string): { readonly value: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const same = JSON.stringify(value) === text.replaceAll(BETWEEN_TOKENS, '$1');
    return same ? { value } : undefined;
  } catch {
    return undefined;
  }
}
