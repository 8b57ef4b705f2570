import type { Finding } from '../../hub/core/finding.ts';
import { type Attempt, findProgram } from './start-problem.ts';

/** For `holdfast doctor`: whether a program could be started. Does not start it. */
export async function examineProgram(attempt: Attempt): Promise<Finding> {
  const subject = `program ${attempt.command}`;
  const found = await findProgram(attempt);
  if ('file' in found) return { severity: 'ok', subject, detail: `${found.file} can be run` };
  return { severity: 'problem', subject, detail: found.problem, remedy: found.remedy };
}
