import { pino } from 'pino';
import { systemClock } from '../../hub/clock/system-clock.ts';
import type { BadFrameReason, Bridge, BridgeContext } from '../../hub/core/bridge.ts';
import type { Message } from '../../hub/core/event.ts';

/** One run of a bridge, and what it has said. */
export class BridgeSession {
  readonly messages: Omit<Message, 'source'>[] = [];
  readonly bad: BadFrameReason[] = [];
  readonly logged: string[] = [];
  readonly state = new Map<string, unknown>();
  connections = 0;
  detail: string | undefined;
  /** What `accept` waits for. */
  gate: () => Promise<void> = async () => {};
  readonly abort = new AbortController();
  ended: Promise<void> = Promise.resolve();

  readonly context: BridgeContext = {
    id: 'bridge-1',
    clock: systemClock(),
    random: Math.random,
    logger: pino({ level: 'info' }, { write: (line: string) => void this.logged.push(line) }),
    connected: () => {
      this.connections += 1;
    },
    describe: (detail) => {
      this.detail = detail;
    },
    badFrames: (reason, count) => {
      for (let i = 0; i < count; i++) this.bad.push(reason);
    },
    accept: async (message, state = []) => {
      this.messages.push(message);
      await this.gate();
      for (const { key, value } of state) this.state.set(key, value);
    },
    loadState: async (prefix) => new Map([...this.state].filter(([key]) => key.startsWith(prefix))),
  };

  run(bridge: Bridge): Promise<void> {
    this.ended = bridge.run(this.context, this.abort.signal);
    this.ended.catch(() => {}); // every test looks at it in its own time
    return this.ended;
  }

  /** For a test that does not wait for its end. */
  begin(bridge: Bridge): void {
    this.run(bridge).catch(() => {});
  }

  async stop(): Promise<void> {
    this.abort.abort();
    await this.ended.catch(() => {});
  }

  /** The values of what was published to `topic`, without their times. */
  values(topic: string) {
    return this.messages
      .filter((message) => message.topic === topic)
      .map(({ payload }) => {
        const { time: _, ...values } = JSON.parse(payload.toString());
        return values;
      });
  }

  /** What was published, as `topic payload`. */
  published(): string[] {
    return this.messages.map(({ topic, payload }) => `${topic} ${payload}`);
  }
}
