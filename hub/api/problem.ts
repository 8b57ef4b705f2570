import { STATUS_CODES } from 'node:http';

/** Further members of a problem document (RFC 9457, section 3.2). */
export interface ProblemMembers {
  /** The query parameter that is wrong, and what it may be. */
  readonly parameter?: string;
  readonly expected?: string;
  /** Which of several events is wrong, from 0. */
  readonly index?: number;
  /** The attribute of a CloudEvent that is wrong. */
  readonly attribute?: string;
}

/** An answer that is no success. Thrown by routes; the message is the `detail`. */
export class Problem extends Error {
  readonly status: number;
  readonly members: ProblemMembers;

  constructor(status: number, detail: string, members: ProblemMembers = {}, cause?: unknown) {
    super(detail, cause === undefined ? undefined : { cause });
    this.name = 'Problem';
    this.status = status;
    this.members = members;
  }
}

export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** The document as JSON text. */
export function problemText(status: number, detail: string, members: ProblemMembers = {}): string {
  const title = STATUS_CODES[status] ?? 'Error';
  return JSON.stringify({ type: 'about:blank', title, status, detail, ...members });
}
