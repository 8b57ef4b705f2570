import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';

/** Far beyond what anything here takes, so that a busy machine does not fail a test. */
const WAIT_MS_MAX = 15_000;
const LOOK_EVERY_MS = 10;

/** Resolves when `condition` holds; rejects, naming `what`, when it does not become true in time. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX;
  while (!condition()) {
    assert.ok(performance.now() < endMs, `waited ${WAIT_MS_MAX} ms in vain for: ${what}`);
    await delay(LOOK_EVERY_MS);
  }
}
