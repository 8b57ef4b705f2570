import assert from 'node:assert/strict';

/**
 * Fails with every problem on a line of its own; a diff of two lists would leave most of them out.
 */
export function assertNone(problems: readonly string[]): void {
  if (problems.length > 0)
    assert.fail(`${problems.length} to correct:\n  ${problems.join('\n  ')}`);
}
