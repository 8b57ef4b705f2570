/**
 * Goal: an alarm raised in the middle of a drain leaves within one batch time. Method: a far side
 * that takes its time for each batch, a backlog that takes a hundred of them, and an alarm at a
 * moment that the seed chooses; what counts is which batches begin between its commit and its own.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { DELIVERED } from '../../hub/core/sink.ts';
import type { Order } from '../../hub/forward/turns.ts';
import { append, forwarding, testLog } from '../support/forwarding.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';
import { until } from '../support/until.ts';

const BATCH_MS = 200;
const BACKLOG = 10_000;
const ROUNDS = 2;
const DEVICES = 20;

const ORDERS: readonly Order[] = [{ kind: 'oldest_first' }, { kind: 'live_first', share: 0.3 }];

for (const order of ORDERS) {
  for (const requestsMax of [1, 8]) {
    test(`an alarm leaves within one batch time: ${order.kind}, ${requestsMax} requests`, async (t) => {
      const seed = chooseSeed();
      t.diagnostic(`seed ${seed}`);
      const random = seededRandom(seed);
      const log = await testLog(t);
      await append(
        log,
        Array.from({ length: BACKLOG }, (_, index) => `dev/${'x'.repeat(index % DEVICES)}`),
      );
      const { sink, forwarder } = await forwarding(t, log, { order, requestsMax });
      /** Batches that begin while an alarm waits, and how long they take. */
      let waiting: string[] | undefined;
      let begun = 0;
      sink.answer = async ({ lane, events: [first] }) => {
        begun++;
        waiting?.push(`${lane}/${first?.offset}`);
        await delay(BATCH_MS);
        return DELIVERED;
      };
      await forwarder.start();
      for (let round = 0; round < ROUNDS; round++) {
        const before = begun;
        await until('draining', () => begun > before);
        await delay(random() * BATCH_MS);
        await append(log, ['alarm'], 'alarm');
        const committedMs = performance.now();
        const batches: string[] = [];
        waiting = batches;
        await until('the alarm', () => batches.some((batch) => batch.startsWith('alarm/')));
        const tookMs = performance.now() - committedMs;
        waiting = undefined;
        const ahead = batches.findIndex((batch) => batch.startsWith('alarm/'));
        t.diagnostic(`${Math.round(tookMs)} ms, behind ${ahead} batches`);
        assert.ok(ahead <= requestsMax, `${ahead} began before it: ${batches}`);
      }
      assert.ok(forwarder.status().lagEvents > 0, 'the drain is not over yet');
    });
  }
}
