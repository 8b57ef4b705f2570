/** A range of offsets in a lane. */
export interface Span {
  readonly firstOffset: number;
  /** How many offsets it covers. */
  readonly span: number;
}

/** The offset behind it. */
export function endOf({ firstOffset, span }: Span): number {
  return firstOffset + span;
}
