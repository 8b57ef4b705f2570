import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { type ErrorCode, HubError } from '../../hub/core/errors.ts';
import { LANES } from '../../hub/core/event.ts';
import type { Sink, SinkContext } from '../../hub/core/sink.ts';
import { afterTest } from '../support/after-test.ts';
import { batchOf, decodeForTest } from './sink-events.ts';

/** What a far side is asked to do; a kind of sink may be unable to meet some of it. */
export type Part = 'cut' | 'refuse' | 'throttle' | 'stall' | 'reject';

/** A real far side and the sinks that are to reach it. Each test has one of its own. */
export interface FarSide {
  /** A new sink of the kind under test, not connected yet. */
  create(): Promise<Sink>;
  /** Offsets of the events that it holds, in order of arrival. */
  seen(): Promise<readonly number[]>;
  /** Works again, after any of the following. */
  heal(): Promise<void>;
  /** The connection breaks as soon as something is sent. */
  cut?(): Promise<void>;
  /** Our credentials, or the place we name, are not accepted. */
  refuse?(): Promise<void>;
  /** Asks for fewer requests, and says for how long. */
  throttle?(waitMs: number): Promise<void>;
  /** Takes what is sent and never answers. */
  stall?(): Promise<void>;
  /** Will never take the event with this offset. */
  reject?(offset: number): Promise<void>;
}

export interface SinkContract {
  readonly name: string;
  start(t: TestContext): Promise<FarSide>;
  /** Parts that this kind cannot show, each with its reason. */
  readonly without?: Partial<Record<Part, string>>;
}

/** The interface says "within a second of its abort"; half a second more for a busy machine. */
const ABORT_MS_MAX = 1_500;
const WAIT_MS_MAX = 10_000;

/** Polls until `done` answers true. */
export async function until(done: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX;
  while (!(await done())) {
    if (performance.now() > endMs) assert.fail(`still not so after ${WAIT_MS_MAX} ms: ${what}`);
    await delay(5);
  }
}

export function sinkContext(dataDir: string, more: Partial<SinkContext> = {}): SinkContext {
  const logger = pino({ level: 'silent' });
  const ids = { id: 'cloud', hubId: 'gateway-01', logId: 'a1b2' };
  return { ...ids, decode: decodeForTest, logger, dataDir, ...more };
}

export async function codeOf(work: Promise<unknown>): Promise<HubError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof HubError) return error;
    throw error;
  }
  return assert.fail('nothing was thrown');
}

const never = (): AbortSignal => new AbortController().signal;

/** As the forwarder does it: connect, and again after every error, until it is ok. */
export async function connect(sink: Sink): Promise<void> {
  const endMs = performance.now() + WAIT_MS_MAX;
  for (;;) {
    try {
      await sink.connect(never());
      return;
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await delay(10);
    }
  }
}

export async function deliver(sink: Sink, first: number, count: number): Promise<void> {
  const delivery = await sink.send(await sink.encode(batchOf(first, count)), never());
  assert.deepEqual(delivery, { rejected: [], retry: [] });
}

const range = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => first + i);

function openFiles(): number {
  return readdirSync('/dev/fd').length; // sockets and files alike, on Linux and macOS
}

type Check = (farSide: FarSide, sink: Sink) => Promise<void>;

/** Connecting, or sending when connecting asks nothing, fails with `code`; then all works again. */
async function failsThenHeals(farSide: FarSide, sink: Sink, code: ErrorCode): Promise<HubError> {
  const encoded = await sink.encode(batchOf(1, 5));
  const error = await codeOf(sink.connect(never()).then(() => sink.send(encoded, never())));
  assert.equal(error.code, code, error.message);
  assert.ok(error.message.length > 10 && !error.message.includes('\n'), error.message);
  assert.deepEqual(await farSide.seen(), []);
  await farSide.heal();
  await connect(sink);
  await sink.send(encoded, never());
  assert.deepEqual(await farSide.seen(), range(1, 5));
  return error;
}

const CHECKS: readonly [title: string, part: Part | undefined, check: Check][] = [
  [
    'what is sent is there, in order',
    undefined,
    async (farSide, sink) => {
      await connect(sink);
      await deliver(sink, 1, 200);
      await deliver(sink, 201, 1);
      await deliver(sink, 202, 2_500);
      assert.deepEqual(await farSide.seen(), range(1, 2_701));
    },
  ],
  [
    'every lane is carried',
    undefined,
    async (farSide, sink) => {
      await connect(sink);
      for (const [i, lane] of LANES.entries())
        await sink.send(await sink.encode(batchOf(10 * i, 2, lane)), never());
      assert.deepEqual(await farSide.seen(), [0, 1, 10, 11, 20, 21]);
    },
  ],
  [
    'a batch may be encoded while another is on its way, and before connecting',
    undefined,
    async (farSide, sink) => {
      const early = await sink.encode(batchOf(1, 2));
      await connect(sink);
      const [later] = await Promise.all([sink.encode(batchOf(3, 2)), sink.send(early, never())]);
      await sink.send(later, never());
      assert.deepEqual(await farSide.seen(), [1, 2, 3, 4]);
    },
  ],
  [
    'a link that breaks is SINK_DISCONNECTED, and heals',
    'cut',
    async (farSide, sink) => {
      await farSide.cut?.();
      await failsThenHeals(farSide, sink, 'SINK_DISCONNECTED');
    },
  ],
  [
    'a link that breaks between two batches loses nothing',
    'cut',
    async (farSide, sink) => {
      await connect(sink);
      await deliver(sink, 1, 3);
      await farSide.cut?.();
      const encoded = await sink.encode(batchOf(4, 3));
      assert.equal((await codeOf(sink.send(encoded, never()))).code, 'SINK_DISCONNECTED');
      await farSide.heal();
      await connect(sink);
      await sink.send(encoded, never());
      assert.deepEqual(await farSide.seen(), range(1, 6));
    },
  ],
  [
    'a far side that refuses us is SINK_REFUSED, and heals',
    'refuse',
    async (farSide, sink) => {
      await farSide.refuse?.();
      await failsThenHeals(farSide, sink, 'SINK_REFUSED');
    },
  ],
  [
    'a far side that throttles says for how long',
    'throttle',
    async (farSide, sink) => {
      await farSide.throttle?.(7_000);
      const error = await failsThenHeals(farSide, sink, 'SINK_THROTTLED');
      assert.equal(error.retryAfterMs, 7_000);
    },
  ],
  [
    'a poison event is named, or the batch is SINK_REJECTED and its other events can be sent',
    'reject',
    async (farSide, sink) => {
      await farSide.reject?.(3);
      await connect(sink);
      const whole = await sink.encode(batchOf(1, 5));
      try {
        const { rejected } = await sink.send(whole, never());
        assert.deepEqual(
          rejected.map(({ index }) => index),
          [2],
        );
      } catch (error) {
        assert.ok(error instanceof HubError && error.code === 'SINK_REJECTED', String(error));
        await connect(sink);
        await deliver(sink, 1, 2);
        assert.equal((await codeOf(deliver(sink, 3, 1))).code, 'SINK_REJECTED');
        await connect(sink);
        await deliver(sink, 4, 2);
      }
      assert.deepEqual(await farSide.seen(), [1, 2, 4, 5]);
    },
  ],
  [
    'an abort in the middle of sending settles within a second',
    'stall',
    async (farSide, sink) => {
      await connect(sink);
      await farSide.stall?.();
      const stop = new AbortController();
      const sending = sink.send(await sink.encode(batchOf(1, 5)), stop.signal);
      const settled = sending.then(
        () => 'sent',
        (error: unknown) => error,
      );
      await delay(50); // long enough to be under way; the far side never answers
      const reason = new Error('the hub is stopping');
      const startMs = performance.now();
      stop.abort(reason);
      assert.equal(await settled, reason);
      assert.ok(performance.now() - startMs < ABORT_MS_MAX);
    },
  ],
  [
    'an abort before connecting and sending is obeyed',
    undefined,
    async (farSide, sink) => {
      const reason = new Error('the hub is stopping');
      await assert.rejects(sink.connect(AbortSignal.abort(reason)), reason);
      await connect(sink);
      const encoded = await sink.encode(batchOf(1, 5));
      await assert.rejects(sink.send(encoded, AbortSignal.abort(reason)), reason);
      assert.deepEqual(await farSide.seen(), []);
    },
  ],
  [
    'sending without a connection is SINK_DISCONNECTED',
    undefined,
    async (_farSide, sink) => {
      const encoded = await sink.encode(batchOf(1, 5));
      assert.equal((await codeOf(sink.send(encoded, never()))).code, 'SINK_DISCONNECTED');
    },
  ],
  [
    'closing before connecting, twice, and connecting again',
    undefined,
    async (farSide, sink) => {
      await sink.close(never());
      await connect(sink);
      await deliver(sink, 1, 2);
      await sink.close(never());
      await sink.close(never());
      await connect(sink);
      await deliver(sink, 3, 2);
      assert.deepEqual(await farSide.seen(), [1, 2, 3, 4]);
    },
  ],
  [
    'nothing stays open after closing',
    undefined,
    async (_farSide, sink) => {
      const before = openFiles();
      for (let round = 0; round < 5; round++) {
        await connect(sink);
        await connect(sink);
        await deliver(sink, round * 10, 10);
        assert.ok(openFiles() > before, 'the check sees what a sink holds open');
        await sink.close(never());
      }
      await until(() => openFiles() <= before, 'as many open files as before');
    },
  ],
];

/** What every kind of sink must do; see `Sink` in hub/core/sink.ts. */
export function sinkContract(contract: SinkContract): void {
  for (const [title, part, check] of CHECKS) {
    const reason = part && contract.without?.[part];
    test(`${contract.name}: ${title}`, { skip: reason ?? false }, async (t) => {
      const farSide = await contract.start(t);
      if (part) assert.ok(farSide[part], `${contract.name} can ${part}, or says why not`);
      const sink = await farSide.create();
      afterTest(t, () => sink.close(never()));
      await check(farSide, sink);
    });
  }
}
