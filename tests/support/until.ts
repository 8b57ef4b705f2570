import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';

/** Far beyond what anything here takes, so that a busy machine does not fail a test. */
const WAIT_MS_MAX = 60_000;
const LOOK_EVERY_MS = 10;

/**
 * Resolves when `condition` holds; rejects, naming `what`, when it does not become true in time.
 */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  waitMsMax = WAIT_MS_MAX,
): Promise<void> {
  const endMs = performance.now() + waitMsMax;
  while (!(await condition())) {
    assert.ok(performance.now() < endMs, `waited ${waitMsMax} ms in vain for: ${what}`);
    await delay(LOOK_EVERY_MS);
  }
}
