/**
 * The sensors that are read one after another. Invariant: while a message waits for the log nothing
 * is read, so a full log slows the reading down and fills no memory.
 */
import type { BridgeContext } from '../../hub/core/bridge.ts';
import type { HandOver } from './hand-over.ts';
import { gapMessage, readingMessages, topicOf } from './messages.ts';
import type { Places } from './places.ts';
import type { Sampled } from './sampled.ts';
import { type Group, Schedule } from './schedule.ts';
import type { Sample } from './sensor.ts';
import { type After, sleep } from './timer.ts';

export interface LaneParts {
  readonly context: BridgeContext;
  readonly topic: string;
  readonly handOver: HandOver;
  /** How many lanes may be reading at once. */
  readonly places: Places;
  readonly after: After;
  readonly signal: AbortSignal;
  /** A sensor has answered or failed. Throws what ends the run. */
  asked(sampled: Sampled): void;
}

export class Lane {
  readonly #parts: LaneParts;
  readonly #schedule: Schedule<Sampled, Group<Sampled>>;
  readonly #groups = new Map<Sampled, Group<Sampled>>();

  constructor(parts: LaneParts) {
    this.#parts = parts;
    this.#schedule = new Schedule<Sampled, Group<Sampled>>([], 0);
  }

  /** It is read as soon as the lane comes round. */
  add(sampled: Sampled): void {
    const group = { source: sampled, intervalMs: sampled.sensor.intervalMs };
    this.#groups.set(sampled, group);
    this.#schedule.add(group, this.#parts.context.clock.monotonicMs());
  }

  remove(sampled: Sampled): void {
    const group = this.#groups.get(sampled);
    this.#groups.delete(sampled);
    if (group) this.#schedule.remove(group);
  }

  get missed(): number {
    return this.#schedule.missed;
  }

  /** Until the signal aborts. Throws what `accept` and `asked` throw. */
  async run(): Promise<void> {
    const { context, handOver, after, signal } = this.#parts;
    while (!signal.aborted) {
      await handOver.room(signal);
      if (signal.aborted) return;
      const next = this.#schedule.next(context.clock.monotonicMs());
      if (next.is === 'wait') await sleep(after, next.delayMs, signal);
      else if (next.is === 'poll') await this.#read(next.group.source);
      else await this.#retry(next.source);
    }
  }

  async #retry(sampled: Sampled): Promise<void> {
    const { clock } = this.#parts.context;
    const startedMs = clock.monotonicMs();
    await this.#read(sampled);
    const nowMs = clock.monotonicMs();
    if (sampled.health.state.is === 'answering') this.#schedule.wasRead(sampled, nowMs);
    else this.#schedule.retried(sampled, false, nowMs - startedMs, nowMs);
  }

  async #read(sampled: Sampled): Promise<void> {
    const { context, places, after, signal } = this.#parts;
    const { clock } = context;
    const leave = await places.take(signal);
    if (leave === undefined) return;
    const timeMs = clock.synced() ? clock.wallMs() : undefined;
    const answer = await sampled.ask(signal, context.badFrames, after);
    leave();
    if (answer.is === 'failed') this.#failed(sampled, answer.why);
    if (answer.is === 'sample') await this.#sampled(sampled, answer.sample, timeMs);
  }

  #failed(sampled: Sampled, why: string): void {
    const { context, asked } = this.#parts;
    const { health, sensor } = sampled;
    const wasSilent = health.silent;
    health.failed(context.clock.monotonicMs(), why);
    if (!wasSilent && health.silent)
      context.logger.warn({ ...sampled.identity, why }, `${sensor.name} cannot be read`);
    asked(sampled);
  }

  async #sampled(
    sampled: Sampled,
    { values, problems = [] }: Sample,
    timeMs: number | undefined,
  ): Promise<void> {
    const { context, handOver, topic, signal, asked } = this.#parts;
    const { clock, logger } = context;
    const { sensor, identity } = sampled;
    sampled.problems = problems;
    const gap = sampled.health.answered(clock.monotonicMs());
    asked(sampled);
    if (gap) logger.info({ ...identity, ...gap }, `${sensor.name} is read again`);
    const messages = [
      ...(gap ? [gapMessage(context.id, identity, gap, clock.wallMs())] : []),
      ...readingMessages(topicOf(topic, sensor.device), values, timeMs),
    ];
    for (const message of messages) await handOver.give(context.accept, message, signal);
  }
}
