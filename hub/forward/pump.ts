/**
 * Keeps the way to the far side filled with what the queues have.
 *
 * Invariants:
 * - whatever is free to go and most urgent goes next, as soon as there is room on the way;
 * - after a failure, and when somebody asks for it, nothing more is sent; the pump ends when
 *   everything that is on its way has been answered or has failed;
 * - flights are settled in the order of their queue.
 */
import type { Clock } from '../core/clock.ts';
import { type BatchSender, gravest } from './batch-sender.ts';
import type { Flight, Piece } from './flight.ts';
import type { LaneQueue, Launch } from './lane-queue.ts';
import type { Pace } from './pace.ts';
import type { Turns } from './turns.ts';

export interface PumpOptions {
  readonly queues: readonly LaneQueue[];
  readonly turns: Turns;
  readonly sender: BatchSender;
  readonly pace: Pace;
  readonly clock: Clock;
  /** How long what a queue has must wait, in ms; 0 is due. */
  waitMs(queue: LaneQueue, candidate: Flight | undefined): number;
  /** Whether something else has to be done first. */
  mustStop(): boolean;
  /** The far side has taken something. */
  taken(): void;
  /** How long nothing more is sent after a delivery that took so long, in ms. */
  restMs(tookMs: number): number;
  /** A piece was answered for. Throws when a person is needed. */
  stepped(flight: Flight): void;
  /** The first flight of a queue was answered for. */
  settle(queue: LaneQueue, flight: Flight): Promise<void>;
}

export class Pump {
  readonly #options: PumpOptions;
  readonly #underWay = new Map<Piece[], Promise<void>>();
  #errors: unknown[] = [];
  /** Of these a person has to decide: they are not settled. */
  readonly #undecided = new Set<Flight>();
  /** The budget lets nothing more go. */
  #held = false;

  constructor(options: PumpOptions) {
    this.#options = options;
  }

  /** Sends what is due. Throws what keeps it from being sent. */
  async run(signal: AbortSignal): Promise<void> {
    this.#errors = [];
    this.#undecided.clear();
    this.#held = false;
    this.#options.pace.begin();
    for (;;) {
      await this.#guarded(() => this.#settleAnswered());
      await this.#guarded(() => this.#launchAll(signal));
      if (this.#underWay.size === 0) break;
      await Promise.race(this.#underWay.values());
    }
    if (this.#errors.length > 0) throw gravest(this.#errors);
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#errors.push(error);
    }
  }

  async #settleAnswered(): Promise<void> {
    for (const queue of this.#options.queues) {
      for (let flight = queue.answered; flight; flight = queue.answered) {
        if (this.#undecided.has(flight)) break;
        await this.#options.settle(queue, flight);
      }
    }
  }

  async #launchAll(signal: AbortSignal): Promise<void> {
    const { turns, pace } = this.#options;
    for (;;) {
      const stops = this.#errors.length > 0 || this.#held || this.#options.mustStop();
      if (stops) return;
      const full = this.#underWay.size >= pace.requests;
      // where several may be under way, what is urgent does not wait until one of them ends
      if (full && (pace.requestsMax === 1 || this.#underWay.size > pace.requests)) break;
      const next = await turns.first((queue) => this.#next(queue, full));
      if (!next) break;
      if ('settled' in next) await this.#settleAnswered();
      else this.#launch(next.queue, next, signal);
    }
    pace.filled(this.#underWay.size >= pace.requests);
  }

  /** What `queue` may send now. A run of which nothing is sent is settled at once. */
  async #next(
    queue: LaneQueue,
    urgentOnly: boolean,
  ): Promise<(Launch & { queue: LaneQueue }) | { readonly settled: true } | undefined> {
    const { waitMs, turns } = this.#options;
    if (urgentOnly && !turns.isUrgent(queue)) return undefined;
    const isBusy = (pieces: Piece[]) => this.#underWay.has(pieces);
    const launch = queue.launchable(isBusy);
    if (launch) return waitMs(queue, undefined) <= 0 ? { ...launch, queue } : undefined;
    if (!queue.hasRoom) return undefined;
    const candidate = await queue.candidate();
    if (!candidate || waitMs(queue, candidate) > 0) return undefined;
    queue.begin();
    const first = queue.launchable(isBusy);
    if (first) return { ...first, queue };
    return queue.answered ? { settled: true } : undefined;
  }

  #launch(queue: LaneQueue, { flight, pieces }: Launch, signal: AbortSignal): void {
    const ended = this.#deliver(queue, flight, pieces, signal).finally(() => {
      this.#underWay.delete(pieces);
    });
    this.#underWay.set(pieces, ended);
  }

  async #deliver(
    queue: LaneQueue,
    flight: Flight,
    pieces: Piece[],
    signal: AbortSignal,
  ): Promise<void> {
    const { sender, pace, turns, clock, taken } = this.#options;
    const sent = pieces[0]?.events ?? [];
    const startedMs = clock.monotonicMs();
    pace.launched(sent.length);
    try {
      if ((await sender.deliver(flight, pieces, signal)) === 'held') this.#held = true;
      const left = new Set(pieces.flatMap((piece) => piece.events.map(({ offset }) => offset)));
      const answered = sent.filter(({ offset }) => !left.has(offset));
      if (answered.some(({ offset }) => !flight.refused.has(offset))) taken();
      pace.answered(answered.length);
      this.#decided(flight);
    } catch (error) {
      this.#errors.push(error);
    } finally {
      const tookMs = clock.monotonicMs() - startedMs;
      turns.spent(queue, tookMs);
      pace.rest(this.#options.restMs(tookMs));
    }
  }

  #decided(flight: Flight): void {
    try {
      this.#options.stepped(flight);
    } catch (error) {
      this.#undecided.add(flight);
      throw error;
    }
  }
}
