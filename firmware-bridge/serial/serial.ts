import type { Bridge, BridgeContext } from '../../hub/core/bridge.ts';
import type { CommandTaker } from '../../hub/core/command.ts';
import { describeError, HubError } from '../../hub/core/errors.ts';
import { type SampledWarn, sampledWarnings } from '../../hub/core/sampled-warnings.ts';
import { findPort, SYSTEM_FOLDERS, type SystemFolders } from '../port/find-port.ts';
import { lost } from '../port/open-problem.ts';
import { Connection } from './connection.ts';
import { FrameHealth, warningOf } from './frame-health.ts';
import { closePort, openPort } from './port.ts';
import type { SessionFactory, SessionMessage } from './session.ts';
import { sessionFactory } from './sessions.ts';
import type { SerialOptions } from './spec.ts';

/** Somebody who corrects the configuration looks at the status for about so long. */
const JUDGE_EVERY_MS = 2_000;
/** A wrong baud rate makes every frame bad: one line a minute says so as well. */
const WARN_EVERY_MS = 60_000;

const WAITS_FOR_LOG =
  'the port is opened when what came from it before is in the log, which is full or slow';
const NO_STATE: ReadonlyMap<string, unknown> = new Map();

/** Since when nothing can be read, and why. */
interface Gap {
  readonly wallMs: number;
  readonly monotonicMs: number;
  readonly reason: string;
}

/**
 * A device on a serial port. `run` throws BRIDGE_LOST, which names the port and what to do, when it
 * is not there or goes away; the time without it becomes an event when it is back.
 */
export class SerialBridge implements Bridge {
  readonly commands: CommandTaker;
  readonly #options: SerialOptions;
  readonly #sessions: SessionFactory;
  readonly #folders: SystemFolders;
  #gap: Gap | undefined;
  #connection: Connection | undefined;
  #isKnown = false;
  #warn: SampledWarn | undefined;
  /** What was handed over and has not settled, of all runs. */
  readonly #unsettled = new Set<Promise<void>>();

  constructor(options: SerialOptions, sessions: SessionFactory, folders = SYSTEM_FOLDERS) {
    this.#options = options;
    this.#sessions = sessions;
    this.#folders = folders;
    this.commands = {
      owns: (device, bridgeId) => sessions.owns(device, bridgeId),
      carryOut: async (order, sent, signal) =>
        (await this.#connection?.command(order, sent, signal)) ?? {
          state: 'failed',
          detail: 'the port is not open',
        },
    };
  }

  async run(context: BridgeContext, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    try {
      await this.#runOnce(context, signal);
    } catch (error) {
      if (error instanceof HubError && error.code === 'BRIDGE_LOST')
        this.#gap ??= { ...now(context), reason: describeError(error) };
      throw error;
    }
  }

  async #runOnce(context: BridgeContext, signal: AbortSignal): Promise<void> {
    await this.#tellWhatIsKnown(context);
    const found = await findPort(this.#options, this.#folders);
    if (signal.aborted) return;
    if (found.kind === 'absent') throw lost(`${found.problem}; ${found.remedy}`);
    const state = await this.#state(context, signal);
    if (signal.aborted) return;
    const port = await openPort(found.path, this.#options);
    const health = new FrameHealth(found.path);
    const judging = setInterval(() => {
      const judgement = health.judge();
      if (judgement) context.describe(judgement.detail);
    }, JUDGE_EVERY_MS);
    try {
      const watched = this.#watched(context, found.path, health);
      const session = this.#sessions.open(context.id, state);
      this.#connection = new Connection(port, session, watched);
      const running = this.#connection.run(this.#gapMessages(context), signal);
      context.connected();
      await running;
    } finally {
      clearInterval(judging);
      this.#connection = undefined;
      await closePort(port);
    }
  }

  /** Commands for a device of earlier runs are for this port, also while it is not there. */
  async #tellWhatIsKnown(context: BridgeContext): Promise<void> {
    const { statePrefix } = this.#sessions;
    if (this.#isKnown || statePrefix === undefined) return;
    this.#sessions.know?.(await context.loadState(statePrefix));
    this.#isKnown = true;
  }

  /** What the session remembers: no write of an earlier run may come after it is read. */
  async #state(context: BridgeContext, signal: AbortSignal) {
    const { statePrefix } = this.#sessions;
    if (statePrefix === undefined) return NO_STATE;
    if (this.#unsettled.size > 0) context.describe(WAITS_FOR_LOG);
    await settledOrAborted(this.#unsettled, signal);
    return signal.aborted ? NO_STATE : await context.loadState(statePrefix);
  }

  /** Remembers what has not settled, and says in the log, now and then, that frames are bad. */
  #watched(context: BridgeContext, port: string, health: FrameHealth): BridgeContext {
    this.#warn ??= sampledWarnings({
      logger: context.logger,
      monotonicMs: () => context.clock.monotonicMs(),
      perKeyMs: WARN_EVERY_MS,
    });
    const warn = this.#warn;
    return {
      ...context,
      badFrames(reason, count) {
        context.badFrames(reason, count);
        health.bad(reason, count);
        warn(reason, warningOf(reason), () => ({ port, reason }));
      },
      accept: (message, state) => {
        health.good();
        const work = context.accept(message, state);
        if (this.#sessions.statePrefix === undefined) return work;
        const settled = work.catch(() => {}).then(() => void this.#unsettled.delete(settled));
        this.#unsettled.add(settled);
        return work;
      },
    };
  }

  /** The time without the port, told once. */
  #gapMessages(context: BridgeContext): SessionMessage[] {
    const gap = this.#gap;
    this.#gap = undefined;
    if (!gap) return [];
    const { wallMs, monotonicMs } = now(context);
    const lengthMs = Math.round(monotonicMs - gap.monotonicMs);
    const event = {
      bridge: context.id,
      // the wall clock may have been put right since
      from: new Date(wallMs - lengthMs).toISOString(),
      to: new Date(wallMs).toISOString(),
      lengthMs,
      reason: gap.reason,
    };
    const payload = Buffer.from(JSON.stringify(event));
    return [{ topic: `holdfast/bridge/${context.id}`, payload, kind: 'hub.health' }];
  }
}

function now({ clock }: BridgeContext) {
  return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
}

/** A full log can hold `work` back for hours; stopping does not wait for it. */
async function settledOrAborted(work: Iterable<Promise<void>>, signal: AbortSignal): Promise<void> {
  let stop = () => {};
  const aborted = new Promise<void>((resolve) => {
    stop = resolve;
  });
  signal.addEventListener('abort', stop, { once: true });
  await Promise.race([Promise.all(work), aborted]);
  signal.removeEventListener('abort', stop);
}

export async function createSerialBridge(options: SerialOptions): Promise<SerialBridge> {
  return new SerialBridge(options, await sessionFactory(options));
}
