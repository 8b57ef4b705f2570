/**
 * What `holdfast doctor` found out about one thing of this machine. `ok`: as it should be. `note`:
 * nothing wrong, but people should know. `warning`: works now and may not for long. `problem`: does
 * not work. `unknown`: nothing here can tell.
 */
export const SEVERITIES = ['ok', 'note', 'warning', 'problem', 'unknown'] as const;
export type Severity = (typeof SEVERITIES)[number];

export interface Finding {
  readonly severity: Severity;
  /** What was looked at, such as `clock`, `disk`, `gpio /dev/gpiochip0`, `port 1883`. */
  readonly subject: string;
  /** One sentence of what is there. */
  readonly detail: string;
  /** One sentence of what to do about it. Always there with `warning` and `problem`. */
  readonly remedy?: string;
}
