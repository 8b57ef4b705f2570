import { type CST, Parser } from 'yaml';

/**
 * The schema is 7 deep; anything past 32 is no configuration. It has to be found before the
 * document is composed, which recurses: V8 ends the process when a regular expression meets the end
 * of the stack, and nothing can catch that.
 */
export const DEPTH_MAX = 32;

/**
 * The offset of the first thing that is nested deeper than DEPTH_MAX; undefined when nothing is.
 */
export function tooDeepOffset(text: string): number | undefined {
  const open: { readonly token: CST.Token; readonly depth: number }[] = [];
  for (const token of new Parser().parse(text)) open.push({ token, depth: 0 });
  let first: number | undefined;
  for (let next = open.pop(); next; next = open.pop()) {
    const { token, depth } = next;
    if (depth > DEPTH_MAX) first = Math.min(first ?? token.offset, token.offset);
    else for (const child of childrenOf(token)) open.push({ token: child, depth: depth + 1 });
  }
  return first;
}

function childrenOf(token: CST.Token): readonly CST.Token[] {
  if (token.type === 'document') return token.value ? [token.value] : [];
  if (!('items' in token)) return [];
  return token.items.flatMap(({ key, value }) => [
    ...(key ? [key] : []),
    ...(value ? [value] : []),
  ]);
}
