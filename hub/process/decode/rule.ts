/** One entry of `decode:` in the configuration. The first rule whose topic matches decides. */
export interface DecodeRule {
  /**
   * `site/{area}/{device}/{metric}`; `+` and a final `#` as in a topic filter; `{device}` is
   * required.
   */
  readonly topic: string;
  readonly format: 'json' | 'number' | 'csv';
  /**
   * json: the top-level keys to take, or metric → dotted path.
   * csv: the names of the columns (`time` is the time, `_` is skipped), or metric → column from
   * "1".
   */
  readonly fields?: readonly string[] | Readonly<Record<string, string>> | undefined;
  /**
   * Where the payload carries its own time: a dotted path (json), a column name or number (csv).
   */
  readonly time?: { readonly field: string; readonly unit: TimeUnit } | undefined;
  /** metric → unit, where the payload does not say. */
  readonly units?: Readonly<Record<string, string>> | undefined;
  /** csv only: one character. Default `,`. */
  readonly delimiter?: string | undefined;
}

/** `auto`: numbers by their magnitude, text as ISO 8601. */
export type TimeUnit = 'ms' | 's' | 'us' | 'iso' | 'auto';
