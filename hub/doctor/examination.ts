import { describeError } from '../core/errors.ts';
import type { Finding } from '../core/finding.ts';

/** One look at one thing. `examine` only looks, and stops with the signal. */
export interface Examination {
  readonly subject: string;
  examine(signal: AbortSignal): Promise<readonly Finding[]>;
}

/** What asks a disk, a program or a host has answered by then, or will not while somebody waits. */
export const EXAMINATION_TIMEOUT_MS = 3_000;
/** A person reads no more of one thing; a machine with a hundred ports has one problem. */
const FINDINGS_MAX = 24;

/**
 * Makes all examinations side by side; the answers in their order. One that fails or takes too long
 * is a finding `unknown` that says so: it never keeps the others from being read.
 */
export async function runExaminations(
  examinations: readonly Examination[],
  timeoutMs = EXAMINATION_TIMEOUT_MS,
): Promise<readonly Finding[]> {
  return (await Promise.all(examinations.map((each) => inTime(each, timeoutMs)))).flat();
}

async function inTime(
  { subject, examine }: Examination,
  timeoutMs: number,
): Promise<readonly Finding[]> {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no answer within ${timeoutMs / 1000} s`));
      controller.abort();
    }, timeoutMs);
  });
  try {
    return bounded(await Promise.race([examine(controller.signal), late]), subject);
  } catch (error) {
    return [{ severity: 'unknown', subject, detail: describeError(error) }];
  } finally {
    clearTimeout(timer);
  }
}

/** The worst come first when not all can be shown. */
function bounded(findings: readonly Finding[], subject: string): readonly Finding[] {
  if (findings.length <= FINDINGS_MAX) return findings;
  const worst = ['problem', 'warning', 'unknown', 'note', 'ok'];
  const sorted = findings.toSorted((a, b) => worst.indexOf(a.severity) - worst.indexOf(b.severity));
  const left = findings.length - FINDINGS_MAX;
  const more: Finding = { severity: 'note', subject, detail: `and ${left} more of the same kind` };
  return [...sorted.slice(0, FINDINGS_MAX), more];
}
