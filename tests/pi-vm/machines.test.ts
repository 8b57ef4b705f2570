/**
 * The hub on a real kernel: two machines at once, each with the hub in it, and with tests that look
 * at it from outside. What a machine says becomes tests here.
 */
import { describe, test } from 'node:test';
import { RUN_MS_MAX, runGuestTests } from './guest-tests.ts';

describe('on a real kernel', { concurrency: true }, () => {
  test('GPIO', { timeout: RUN_MS_MAX }, (t) => runGuestTests(t, 'gpio'));
  test('sensors, USB serial', { timeout: RUN_MS_MAX }, (t) => runGuestTests(t, 'sensors'));
});
