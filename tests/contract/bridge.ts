import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { systemClock } from '../../hub/clock/system-clock.ts';
import type { Bridge, BridgeContext } from '../../hub/core/bridge.ts';
import { HubError } from '../../hub/core/errors.ts';
import type { Message } from '../../hub/core/event.ts';
import { topicFilterProblem } from '../../hub/core/topic.ts';

type BridgeMessage = Omit<Message, 'source'>;

/** What the suite needs to know about one kind of bridge. */
export interface BridgeUnderTest {
  /** A bridge whose hardware is there and sends without end. Called for every test anew. */
  start(): Promise<{
    readonly bridge: Bridge;
    /** Takes the hardware away while the bridge runs. Required with `hasHardware`. */
    loseHardware?(): Promise<void>;
    stop?(): Promise<void>;
  }>;
  /** Whether there is something that can be lost while the bridge runs. */
  readonly hasHardware: boolean;
  /** Time in which the hardware sends at least one message, in ms. */
  readonly periodMs: number;
  /** Messages that may wait for `accept` at once; more means the bridge ignores a full log. */
  readonly unacceptedMax: number;
}

/** How long `run` may take to end after the abort (hub/core/bridge.ts). */
const STOP_MS_MAX = 1_000;
/** Far longer than any step takes on a slow machine: a test that waits so long has failed. */
const WAIT_MS_MAX = 10_000;
/** Periods in which a bridge that ignores back-pressure would have gone on. */
const HELD_PERIODS = 10;

class Session {
  readonly abort = new AbortController();
  readonly messages: BridgeMessage[] = [];
  connections = 0;
  unaccepted = 0;
  /** What `accept` waits for; replaced by the tests of back-pressure. */
  gate: () => Promise<void> = async () => {};
  #changed = () => {};

  readonly state = new Map<string, unknown>();

  readonly context: BridgeContext = {
    id: 'contract',
    clock: systemClock(),
    random: Math.random,
    logger: pino({ level: 'silent' }),
    connected: () => {
      this.connections += 1;
    },
    describe: () => {},
    badFrames: () => {},
    accept: async (message, state = []) => {
      this.messages.push(message);
      this.unaccepted += 1;
      this.#changed();
      await this.gate();
      for (const { key, value } of state) this.state.set(key, value);
      this.unaccepted -= 1;
    },
    loadState: async (prefix) =>
      new Map(
        [...this.state].filter(([key, value]) => key.startsWith(prefix) && value !== undefined),
      ),
  };

  /** Waits for `count` messages in all, or fails with what `running` failed with. */
  async received(count: number, running: Promise<void>): Promise<void> {
    const enough = new Promise<void>((resolve) => {
      this.#changed = () => this.messages.length >= count && resolve();
      this.#changed();
    });
    await within(WAIT_MS_MAX, Promise.race([enough, running]), `${count} messages`);
    assert.ok(this.messages.length >= count, 'run ended by itself');
  }
}

async function within<T>(limitMs: number, work: Promise<T>, what: string): Promise<T> {
  const timer = new AbortController();
  const late = delay(limitMs, undefined, { signal: timer.signal }).then(() => {
    throw new assert.AssertionError({ message: `${what}: not within ${limitMs} ms` });
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    timer.abort();
    late.catch(() => {});
  }
}

/** What every bridge has to hold. `name` is the type of the bridge. */
export function bridgeContract(name: string, under: BridgeUnderTest): void {
  describe(`bridge contract: ${name}`, () => {
    testReading(under);
    testStopping(under);
    testBackPressure(under);
    testFailing(under);
    if (under.hasHardware) testHardwareLoss(under);
  });
}

function testReading(under: BridgeUnderTest): void {
  test('says that it is connected and hands over messages with publishable topics', async () => {
    await using run = await begin(under);
    await run.session.received(3, run.ended);
    assert.equal(run.session.connections, 1);
    for (const { topic } of run.session.messages) {
      assert.equal(topicFilterProblem(topic), undefined, topic);
      assert.doesNotMatch(topic, /[+#]|^\$/, 'a wildcard or a $ topic cannot be published to');
    }
  });

  test('can be run again after it has ended', async () => {
    await using first = await begin(under);
    await first.session.received(1, first.ended);
    await first.end();
    await using second = await begin(under, first.bridge);
    await second.session.received(1, second.ended);
  });
}

function testStopping(under: BridgeUnderTest): void {
  test('ends at once when the signal has already aborted', async () => {
    await using run = await begin(under, undefined, (session) => session.abort.abort());
    await run.end();
    assert.deepEqual(run.session.messages, []);
  });

  test('ends within a second of the abort and sends nothing after it', async () => {
    await using run = await begin(under);
    await run.session.received(1, run.ended);
    await run.end();
    const count = run.session.messages.length;
    await delay(2 * under.periodMs);
    assert.equal(run.session.messages.length, count);
  });

  test('ends within a second of the abort although accept never settles', async () => {
    await using run = await begin(under, undefined, (session) => {
      session.gate = () => new Promise(() => {});
    });
    await run.session.received(1, run.ended);
    await run.end();
  });
}

function testBackPressure(under: BridgeUnderTest): void {
  test('waits for accept, so a full log does not fill the memory, and goes on after it', async () => {
    const opened: (() => void)[] = [];
    await using run = await begin(under, undefined, (session) => {
      session.gate = () => new Promise((resolve) => opened.push(resolve));
    });
    await run.session.received(1, run.ended);
    await delay(HELD_PERIODS * under.periodMs);
    const held = run.session.messages.length;
    assert.ok(run.session.unaccepted <= under.unacceptedMax, `${run.session.unaccepted} wait`);
    run.session.gate = async () => {};
    for (const open of opened) open();
    await run.session.received(held + 1, run.ended);
  });
}

function testFailing(under: BridgeUnderTest): void {
  test('ends with the error of accept, and does not lose the message in silence', async () => {
    const closed = new HubError('LOG_CLOSED', 'The hub is stopping.');
    await using run = await begin(under, undefined, (session) => {
      session.gate = () => Promise.reject(closed);
    });
    await assert.rejects(within(WAIT_MS_MAX, run.ended, 'the error'), (error) => error === closed);
  });
}

function testHardwareLoss(under: BridgeUnderTest): void {
  test('throws BRIDGE_LOST when the hardware is gone', async () => {
    await using run = await begin(under);
    await run.session.received(1, run.ended);
    assert.ok(run.loseHardware, 'a bridge with hardware says how the test takes it away');
    await run.loseHardware();
    await assert.rejects(
      within(WAIT_MS_MAX, run.ended, 'the loss'),
      (error) => error instanceof HubError && error.code === 'BRIDGE_LOST',
    );
  });
}

async function begin(under: BridgeUnderTest, again?: Bridge, prepare?: (session: Session) => void) {
  const started: Awaited<ReturnType<BridgeUnderTest['start']>> = again
    ? { bridge: again }
    : await under.start();
  const session = new Session();
  prepare?.(session);
  const ended = started.bridge.run(session.context, session.abort.signal);
  ended.catch(() => {}); // every test looks at it in its own time
  return {
    ...started,
    session,
    ended,
    async end() {
      session.abort.abort();
      await within(STOP_MS_MAX, ended, 'the end of run');
    },
    async [Symbol.asyncDispose]() {
      session.abort.abort();
      await within(
        STOP_MS_MAX,
        ended.catch(() => {}),
        'the end of run',
      );
      await started.stop?.();
    },
  };
}
