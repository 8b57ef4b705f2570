/**
 * One opening of a serial port: moves bytes between the port and its session.
 *
 * Invariants:
 * - messages go to the log in the order in which they came; the session hears of each output in
 *   that order when all of it is durable;
 * - while more than WAITING_* wait for the log, the port is not read: the system's buffer fills,
 *   and flow control tells the device;
 * - it ends once: with the abort, with the loss of the port, or with the error of `accept`. After
 *   that nothing is handed over, and a command that is under way has failed.
 */
import type { SerialPort } from 'serialport';
import type { BridgeContext } from '../../hub/core/bridge.ts';
import type { CommandOrder, CommandOutcome } from '../../hub/core/command.ts';
import { describeError } from '../../hub/core/errors.ts';
import { lost } from '../port/open-problem.ts';
import type { SerialSession, SessionMessage, SessionOutput, SessionTime } from './session.ts';

/** A commit takes hundreds of lines; more would only be memory. */
export const WAITING_MESSAGES_MAX = 1_000;
const WAITING_BYTES_MAX = 128 * 1024;
/** A device that does not take this much does not listen any more. */
const UNWRITTEN_BYTES_MAX = 64 * 1024;

interface Pending {
  readonly id: string;
  end(outcome: CommandOutcome): void;
}

export class Connection {
  readonly #port: SerialPort;
  readonly #session: SerialSession;
  readonly #context: BridgeContext;
  #waitingMessages = 0;
  #waitingBytes = 0;
  #reading: 'reading' | 'paused' | 'resumed' = 'reading';
  #pending: Pending | undefined;
  #ended = false;
  #fail: (error: unknown) => void = () => {};

  constructor(port: SerialPort, session: SerialSession, context: BridgeContext) {
    this.#port = port;
    this.#session = session;
    this.#context = context;
  }

  /** Resolves with the abort. Errors: BRIDGE_LOST; what `accept` throws. */
  async run(first: readonly SessionMessage[], signal: AbortSignal): Promise<void> {
    const timer = setInterval(
      () => this.#do(this.#session.tick(this.#now())),
      this.#session.tickMs,
    );
    let stop = () => {};
    try {
      await new Promise<void>((resolve, reject) => {
        stop = resolve;
        this.#fail = reject;
        signal.addEventListener('abort', stop, { once: true });
        if (signal.aborted) stop();
        this.#listen();
        this.#accept(first);
        this.#do(this.#session.opened(this.#now()));
      });
    } finally {
      clearInterval(timer);
      signal.removeEventListener('abort', stop);
      this.#end();
    }
  }

  /** See CommandTaker. */
  async command(
    order: CommandOrder,
    sent: () => void,
    signal: AbortSignal,
  ): Promise<CommandOutcome> {
    if (signal.aborted) return { state: 'failed', detail: 'its time was over; nothing was sent' };
    return await new Promise((resolve) => {
      let isWritten = false;
      const onAbort = () => {
        this.#session.forget(order.id);
        const detail = 'no answer came before its time was over';
        this.#pending?.end({ state: 'failed', detail: isWritten ? detail : this.#takesNothing });
        // it would go out when the device listens again, long after its time
        if (!isWritten) this.#fail(lost(this.#takesNothing));
      };
      this.#pending = {
        id: order.id,
        end: (outcome) => {
          this.#pending = undefined;
          signal.removeEventListener('abort', onAbort);
          resolve(outcome);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const output = this.#session.command(order, this.#now());
      const isOver = output.ended?.some(({ id }) => id === order.id);
      // what the port has not taken is not sent
      this.#write(output.write, () => {
        isWritten = true;
        if (!isOver && this.#pending?.id === order.id) sent();
        this.#do({ ...output, write: Buffer.alloc(0) });
      });
    });
  }

  #listen(): void {
    const port = this.#port;
    port.on('data', (bytes: Buffer) => {
      if (this.#ended) return;
      const resumed = this.#reading === 'resumed';
      if (resumed) this.#reading = 'reading';
      this.#do(this.#session.receive(bytes, this.#now(), resumed));
    });
    const gone = (error?: unknown) => {
      const why = error ? `: ${describeError(error)}` : '';
      this.#fail(lost(`${port.path} was unplugged or closed${why}`, error));
    };
    port.once('close', gone);
    port.once('error', gone);
  }

  get #takesNothing(): string {
    return `${this.#port.path} takes no bytes: check \`flow_control\` and the wiring`;
  }

  #now(): SessionTime {
    const { clock } = this.#context;
    return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs(), synced: clock.synced() };
  }

  #do({ messages, write, bad, ended }: SessionOutput): void {
    if (this.#ended) return;
    if (bad) for (const reason of bad) this.#context.badFrames(reason, 1);
    if (messages && messages.length > 0) this.#accept(messages);
    this.#write(write, () => {});
    for (const { id, outcome } of ended ?? [])
      if (this.#pending?.id === id) this.#pending.end(outcome);
  }

  #accept(messages: readonly SessionMessage[]): void {
    if (messages.length === 0) return;
    const bytes = messages.reduce((sum, { payload }) => sum + payload.length, 0);
    this.#waitingMessages += messages.length;
    this.#waitingBytes += bytes;
    if (this.#isFull(1) && this.#reading !== 'paused') {
      this.#reading = 'paused';
      this.#port.pause();
    }
    Promise.all(messages.map(({ state, ...message }) => this.#context.accept(message, state))).then(
      () => {
        this.#waitingMessages -= messages.length;
        this.#waitingBytes -= bytes;
        if (this.#ended) return;
        this.#do(this.#session.accepted(messages, this.#now()));
        if (this.#reading !== 'paused' || this.#isFull(0.5)) return;
        this.#reading = 'resumed';
        this.#port.resume();
      },
      (error) => this.#fail(error),
    );
  }

  #isFull(share: number): boolean {
    return (
      this.#waitingMessages >= share * WAITING_MESSAGES_MAX ||
      this.#waitingBytes >= share * WAITING_BYTES_MAX
    );
  }

  #write(bytes: Buffer | undefined, written: () => void): void {
    if (!bytes || bytes.length === 0) {
      written();
      return;
    }
    if (this.#port.writableLength + bytes.length > UNWRITTEN_BYTES_MAX) {
      this.#fail(lost(this.#takesNothing));
      return;
    }
    this.#port.write(bytes, (error) => {
      if (!error) written(); // an error comes as an event too
    });
  }

  #end(): void {
    this.#ended = true;
    for (const reason of this.#session.closed().bad ?? []) this.#context.badFrames(reason, 1);
    const unknown = 'whether the device has it is not known';
    const detail = `${this.#port.path} was lost or closed before it was done: ${unknown}`;
    this.#pending?.end({ state: 'failed', detail });
    this.#port.removeAllListeners('data');
    this.#port.on('error', () => {}); // of writes that are cut off
  }
}
