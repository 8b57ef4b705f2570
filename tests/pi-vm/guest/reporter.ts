/** A reporter of node:test: the results of the guest as lines of JSON, see ../report.ts. */
import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';
import type { GuestReport } from '../report.ts';

/** The name, and what a person needs of it: an assertion shows what it compared. */
function problemOf(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return inspect(cause);
}

/** Whether all that is wrong with a test is one inside of it, which has been told. */
function failedInside(error: unknown): boolean {
  return error instanceof Error && 'failureType' in error && error.failureType === 'subtestsFailed';
}

function reportOf({ type, data }: TestEvent): GuestReport | undefined {
  if (type === 'test:diagnostic') return { type: 'note', text: data.message };
  if (type !== 'test:pass' && type !== 'test:fail') return undefined;
  const { name, details, skip } = data;
  if (type === 'test:fail' && failedInside(data.details.error)) return undefined;
  return {
    type: 'test',
    name,
    ok: type === 'test:pass',
    durationMs: details.duration_ms,
    ...(type === 'test:fail' ? { problem: problemOf(data.details.error) } : {}),
    ...(skip === undefined ? {} : { skipped: String(skip) }),
  };
}

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    const told = reportOf(event);
    if (told) yield `${JSON.stringify(told)}\n`;
  }
}
