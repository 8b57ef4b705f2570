import type { DetailKind } from '../../hub/core/bridge.ts';

/** What a bridge says of itself, the troubles first; undefined when all is well. */
export function describeParts(
  troubles: readonly string[],
  notes: readonly string[],
): { readonly detail: string | undefined; readonly kind: DetailKind } {
  const parts = [...troubles, ...notes];
  const detail = parts.length === 0 ? undefined : parts.join('; ');
  return { detail, kind: troubles.length > 0 ? 'trouble' : 'note' };
}
