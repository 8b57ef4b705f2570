/** What the guest tells the host, one line of JSON each. */
export type GuestReport =
  | {
      readonly type: 'test';
      readonly name: string;
      readonly ok: boolean;
      readonly durationMs: number;
      /** Why it failed, for people. */
      readonly problem?: string;
      /** Why it did not run. */
      readonly skipped?: string;
    }
  | { readonly type: 'note'; readonly text: string }
  | { readonly type: 'exit'; readonly code: number };

/** Undefined for a line that is none: the guest may have been stopped in the middle of it. */
export function parseReport(line: string): GuestReport | undefined {
  try {
    return JSON.parse(line) as GuestReport;
  } catch {
    return undefined;
  }
}
