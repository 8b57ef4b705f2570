import type { TestContext } from 'node:test';

type Step = () => unknown;

const stacks = new WeakMap<TestContext, Step[]>();

/**
 * Undoes something after a test, the last thing first: the hub ends before its folder goes. All is
 * undone, also when one step fails. `t.after` begins with the first one, and ends with a failure: a
 * hub that it leaves behind would keep the test process alive for ever.
 */
export function afterTest(t: TestContext, step: Step): void {
  const known = stacks.get(t);
  if (known) {
    known.push(step);
    return;
  }
  const steps = [step];
  stacks.set(t, steps);
  t.after(() => undo(steps));
}

async function undo(steps: Step[]): Promise<void> {
  const failures: unknown[] = [];
  for (let step = steps.pop(); step; step = steps.pop()) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
