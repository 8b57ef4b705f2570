/**
 * Drives one sink: reads the log from the sink's cursor, cuts flights, sends them, settles them.
 *
 * Invariants:
 * - one flight is under way at a time, and all events of a device are in one part of it, sent one
 *   piece after the other: so a device's events of a lane arrive in order;
 * - between two steps of a flight whatever is more urgent goes first: alarms, then by `order`;
 * - the cursor moves only over what is delivered, filtered, kept as a dead letter, or lost;
 * - a replay goes on only while no live flight is due, and moves no cursor;
 * - an outage never counts against an event: only an answer about that event does;
 * - nothing here is shared with another forwarder but the log and the wake-up of `Recovery`.
 */
import type { Logger } from 'pino';
import type { Clock } from '../core/clock.ts';
import { describeError, HubError } from '../core/errors.ts';
import { type HubEvent, LANES } from '../core/event.ts';
import { sumOfLost } from '../core/lost-counts.ts';
import { RateMeter } from '../core/rate.ts';
import type { Sink } from '../core/sink.ts';
import type { SinkStatus } from '../core/status.ts';
import { topicMatcher } from '../core/topic.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { BatchSender } from './batch-sender.ts';
import type { Run } from './batcher.ts';
import { ClockGate, type ClockWait } from './clock-gate.ts';
import { DeadLetters } from './dead-letters.ts';
import { endsWithin } from './ends-within.ts';
import { etaSeconds } from './eta.ts';
import { type Flight, onceMore, type PieceLimits, type Refused, shrunk } from './flight.ts';
import { GuardedSink, LET_GO_MS } from './guarded-sink.ts';
import type { LaneQueue } from './lane-queue.ts';
import { laneQueues } from './lane-queues.ts';
import { laneStatus } from './lane-status.ts';
import { type Link, type LinkInput, nextLink, type RetryDelays, START } from './link.ts';
import { OldestUnsettled } from './oldest-unsettled.ts';
import { Pace } from './pace.ts';
import type { Recovery } from './recovery.ts';
import { Replays } from './replays.ts';
import { Settlement } from './settlement.ts';
import { type Order, type Turn, Turns } from './turns.ts';
import { Wakeup } from './wakeup.ts';

/** So many events in a row that the far side takes none of: not poison, but a wrong address. */
const REFUSED_IN_A_ROW_MAX = 1_000;
/** Without news from the log, look again: a wake-up that was missed costs this much. */
const IDLE_CHECK_MS = 1_000;
/** Behind by more than this, new events no longer wait for what is in front of them. */
const BEHIND_MS = 5_000;
/** Every so many ranges that are left behind it takes twice as long until one more is. */
const BEHIND_DOUBLES_EVERY = 4;

export interface ForwarderOptions {
  readonly id: string;
  readonly type: string;
  readonly sink: Sink;
  /** Makes another sink like `sink`, for one that hangs. */
  reopen(): Promise<Sink>;
  readonly log: DurableLog;
  readonly clock: Clock;
  random(): number;
  readonly topics: readonly string[];
  readonly batch: PieceLimits & { readonly lingerMs: number };
  readonly order: Order;
  /** Deliveries side by side at most; 1 for a sink that cannot. */
  readonly requestsMax: number;
  /** How long one delivery may take altogether. */
  readonly deadlineMs: number;
  /** The same for all events that have to arrive in order. */
  partOf(event: HubEvent): number;
  /** `attemptsMax` counts answers about one event, never an outage. */
  readonly retry: RetryDelays & { readonly attemptsMax: number };
  readonly confirmWindowMs: number;
  /** Where the sink connects to, for waking others; undefined for a local one. */
  readonly host: string | undefined;
  readonly recovery: Recovery;
  readonly clockWait: ClockWait;
  readonly logger: Logger;
  /** Called with the time the far side took. */
  answered(seconds: number): void;
  ingestPerSecond(): number;
}

/** What is under way: a flight of the sink's own queues, or one of a replay. */
type UnderWay = ({ readonly kind: 'queue' } & Turn) | { readonly kind: 'replay' };

export class Forwarder {
  readonly id: string;
  /** Past ranges that the sink is sent again. */
  readonly replays: Replays;
  readonly #options: ForwarderOptions;
  readonly #sink: GuardedSink;
  readonly #sender: BatchSender;
  readonly #pace: Pace;
  readonly #settlement: Settlement;
  readonly #deadLetters: DeadLetters;
  readonly #oldest: OldestUnsettled;
  readonly #gate: ClockGate;
  readonly #rate: RateMeter;
  readonly #stop = new AbortController();
  readonly #wakeup = new Wakeup();
  readonly #queues: readonly LaneQueue[];
  readonly #turns: Turns;
  #link: Link = START;
  /** Decided anew for every step, the most urgent first. */
  #underWay: UnderWay | undefined;
  #refusedInARow = 0;
  #checkedMs = 0;
  /** What went wrong last, until something is taken again. */
  #trouble: string | undefined;
  readonly #counters = { delivered: 0, filtered: 0, dropped: 0, corrupt: 0, retries: 0 };
  #running: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: ForwarderOptions) {
    this.id = options.id;
    this.#options = options;
    const { log, id, clock, confirmWindowMs, batch, topics, order } = options;
    const { attemptsMax } = options.retry;
    this.#sink = new GuardedSink(options);
    this.#sender = new BatchSender({ ...options, sink: this.#sink, attemptsMax });
    this.#pace = new Pace({ limits: batch, requestsMax: options.requestsMax, clock });
    this.replays = new Replays({
      ...options,
      sink: id,
      wanted: topicMatcher(topics),
      wake: () => this.#wakeup.wake(),
    });
    this.#settlement = new Settlement(log, id, clock, confirmWindowMs);
    this.#deadLetters = new DeadLetters(log, id);
    this.#oldest = new OldestUnsettled(log, (lane) => this.#settlement.cursor(lane).offset);
    this.#gate = new ClockGate(log, options.clockWait);
    this.#rate = new RateMeter(() => clock.monotonicMs());
    this.#queues = laneQueues({
      ...options,
      wanted: topicMatcher(topics),
      settlement: this.#settlement,
      holds: this.#gate.holds,
      pace: this.#pace,
      encodeFirst: (flight) => this.#sender.encodeFirst(flight),
    });
    this.#turns = new Turns(this.#queues, order, clock);
  }

  async start(): Promise<void> {
    await this.#deadLetters.load();
    const unsubscribe = this.#options.log.onCommit(() => this.#wakeup.wake());
    this.#running = this.#run().finally(unsubscribe);
  }

  /** Ends what is under way. What was not settled is sent again after the next start. */
  stop(): Promise<void> {
    this.#stopping ??= this.#end();
    return this.#stopping;
  }

  async #end(): Promise<void> {
    this.#step({ input: 'stop' });
    this.#stop.abort(new HubError('LOG_CLOSED', 'the hub is stopping'));
    this.#wakeup.wake();
    const ended = this.#running ?? Promise.resolve();
    if (!(await endsWithin(LET_GO_MS, ended))) {
      this.#options.logger.warn('the sink does not let go of what is under way: left behind');
    }
    await this.#sink.close();
  }

  /** Counters since the start of the process. */
  counters() {
    return { ...this.#counters };
  }

  status(): SinkStatus {
    const { id, type, log, clock, batch, ingestPerSecond } = this.#options;
    const link = this.#link;
    const lanes = LANES.map((lane) =>
      laneStatus(lane, this.#settlement.cursor(lane), log.range(lane).tail),
    );
    const sum = { lag: 0, delivered: 0, filtered: 0, lost: 0 };
    for (const { queued, delivered, filtered, lost } of lanes) {
      sum.lag += queued;
      sum.delivered += delivered;
      sum.filtered += filtered;
      sum.lost += sumOfLost(lost);
    }
    const eventsPerSecond = this.#rate.perSecond();
    const waiting = link.state === 'backoff' || link.state === 'halted';
    const moving = link.state === 'reading' || link.state === 'sending';
    const detail = link.state === 'reading' ? this.#gate.detail : this.#trouble;
    const drained = moving ? { settled: eventsPerSecond, ingest: ingestPerSecond() } : undefined;
    return {
      id,
      type,
      state: link.state,
      ...(detail === undefined ? {} : { detail }),
      ...(waiting ? { retryAtMs: clock.wallMs() + link.untilMs - clock.monotonicMs() } : {}),
      lagEvents: sum.lag,
      lagMs: Math.max(0, this.#oldest.ageMs()),
      eventsPerSecond,
      etaSeconds: etaSeconds(sum.lag, drained?.settled ?? 0, drained?.ingest ?? 0, batch.lingerMs),
      deliveredEvents: sum.delivered,
      filteredEvents: sum.filtered,
      deadLetters: this.#deadLetters.count,
      lostEvents: sum.lost,
      lanes,
      pace: this.#pace.status(),
      replay: this.replays.status(),
    };
  }

  async #run(): Promise<void> {
    while (this.#link.state !== 'stopped') {
      try {
        await this.#act();
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        this.#failed(error);
      }
    }
  }

  /** Does what the state of the link says. */
  async #act(): Promise<void> {
    switch (this.#link.state) {
      case 'connecting':
        await this.#connect();
        this.#step({ input: 'connected' });
        return;
      case 'reading':
        if (await this.#hasNext()) this.#step({ input: 'batch' });
        return;
      case 'sending':
        this.#settledSome(await this.#sendNext());
        return;
      case 'backoff':
      case 'halted':
        await this.#wait(this.#link.untilMs);
        this.#step({ input: 'waited' });
        return;
      case 'stopped':
    }
  }

  async #connect(): Promise<void> {
    const { instance } = await this.#sink.connect(this.#stop.signal);
    this.#checkedMs = this.#options.clock.monotonicMs();
    if (!this.#settlement.seen(instance)) {
      this.replays.confirm();
      return;
    }
    this.replays.rewind();
    this.#options.logger.warn(
      { instance },
      'the far side restarted: what it had not confirmed is sent again',
    );
    for (const queue of this.#queues) queue.reset();
  }

  async #wait(untilMs: number): Promise<void> {
    const { host, recovery, clock } = this.#options;
    const timer = new Wakeup();
    const wake = () => timer.wake();
    // who was asked to wait waits, whatever the same host says to others
    const early = host && this.#link.state === 'backoff' && this.#link.reconnect;
    const leave = early ? recovery.wait(host, wake) : undefined;
    this.#stop.signal.addEventListener('abort', wake);
    await timer.wait(Math.max(0, untilMs - clock.monotonicMs()));
    this.#stop.signal.removeEventListener('abort', wake);
    leave?.();
  }

  /** Waits for something to send. False when the link has to be looked after first. */
  async #hasNext(): Promise<boolean> {
    const now = this.#options.clock.monotonicMs();
    if (now - this.#checkedMs >= this.#settlement.checkIntervalMs) {
      await this.#connect();
      return false;
    }
    await this.#leaveBehind();
    const next = await this.#turns.next((flight, queue) => this.#waitMs(flight, queue));
    if ('flight' in next) {
      this.#underWay = { kind: 'queue', ...next };
      return true;
    }
    if (this.replays.due) {
      this.#underWay = { kind: 'replay' };
      return await this.replays.prepare();
    }
    const { checkIntervalMs } = this.#settlement;
    await this.#wakeup.wait(Math.min(next.waitMs, checkIntervalMs, IDLE_CHECK_MS));
    return false;
  }

  /** How long what a queue has may or has to wait yet, in ms. */
  #waitMs({ run }: Flight, queue: LaneQueue): number {
    if (run.lane === 'alarm') return 0;
    const nowMs = this.#options.clock.monotonicMs();
    const due = queue.begun || run.full || run.events.length === 0;
    const heldMs = this.#pace.notBeforeMs - nowMs;
    return due ? heldMs : Math.max(heldMs, this.#dueInMs(run));
  }

  /** How long the oldest event of a run may still wait for company. */
  #dueInMs({ events: [first] }: Run): number {
    const { clock, batch } = this.#options;
    const arrivedMs = first?.bootId === clock.bootId ? first.monotonicMs : 0;
    return arrivedMs + batch.lingerMs - clock.monotonicMs();
  }

  /** With `live_first`: new events go ahead of what has waited for long. */
  async #leaveBehind(): Promise<void> {
    const { order, log, batch, logger } = this.#options;
    if (order.kind !== 'live_first') return;
    for (const queue of this.#queues) {
      const { lane, part } = queue;
      if (part !== 'live' || lane === 'alarm' || queue.begun) continue;
      const flight = await queue.next();
      const [first] = flight?.run.events ?? [];
      if (!flight?.run.full || !first) continue;
      const left = this.#settlement.cursor(lane).ahead.length;
      const behindMs = BEHIND_MS * 2 ** Math.floor(left / BEHIND_DOUBLES_EVERY);
      const ageMs = log.boots.ageMs(first);
      if (ageMs <= batch.lingerMs + behindMs) continue;
      const { tail } = log.range(lane);
      if (!this.#settlement.leaveBehind(lane, tail)) continue;
      for (const other of this.#queues) if (other.lane === lane && !other.begun) other.reset();
      const events = tail - flight.run.from;
      logger.info({ lane, events }, 'behind: new events go ahead, these follow as backlog');
    }
  }

  /** True when the far side took something. */
  async #sendNext(): Promise<boolean> {
    const underWay = this.#underWay;
    this.#underWay = undefined;
    if (!underWay) return false;
    if (underWay.kind === 'replay') return await this.#sendReplay();
    const { queue } = underWay;
    this.#correctTimes();
    const flight = await queue.next();
    if (!flight) return false;
    const { run } = flight;
    if (run.from === this.#settlement.cursor(run.lane).offset) this.#oldest.sending(run);
    const whole = !queue.begun;
    queue.begin();
    const startedMs = this.#options.clock.monotonicMs();
    try {
      const answered = await this.#sender.advance(flight, this.#stop.signal);
      this.#haltAtTooMany(queue, flight);
      if (!answered) return false;
      await this.#settle(queue, flight);
    } catch (error) {
      this.#slowDown(flight, error);
      throw error;
    } finally {
      this.#turns.spent(queue, this.#options.clock.monotonicMs() - startedMs);
    }
    const taken = run.events.length - flight.refused.size;
    const tookMs = this.#options.clock.monotonicMs() - startedMs;
    if (taken > 0) this.#pace.answered(run.events.length, tookMs, run.full && whole);
    return taken > 0;
  }

  #slowDown(flight: Flight, error: unknown): void {
    if (!(error instanceof HubError)) return;
    if (error.code === 'SINK_TIMEOUT') shrunk(flight, this.#pace.timedOut());
    if (error.code === 'SINK_THROTTLED') this.#pace.throttled(this.#rate.perSecond());
  }

  async #sendReplay(): Promise<boolean> {
    const [flight] = this.replays.pending;
    if (!flight) return false;
    const answered = await this.#sender.advance(flight, this.#stop.signal);
    if (answered) this.replays.settle(flight);
    else this.replays.stepped(flight);
    if (!answered) return false;
    return flight.run.events.length > flight.refused.size;
  }

  #correctTimes(): void {
    const corrected = this.#gate.corrected();
    if (!corrected) return;
    for (const queue of this.#queues) queue.retime(corrected);
  }

  #settledSome(taken: boolean): void {
    const { host, recovery } = this.#options;
    const recovered = taken && this.#link.failures > 0;
    this.#step({ input: 'settled', taken });
    if (taken) this.#trouble = undefined;
    if (recovered && host) recovery.reached(host);
  }

  async #settle(queue: LaneQueue, { run, refused: refusals }: Flight): Promise<void> {
    const refused = [...refusals.values()].sort((a, b) => a.event.offset - b.event.offset);
    this.#warnOfGone(run, refused);
    const rejectedMs = this.#options.clock.wallMs();
    const deadLetters = refused.map(({ event, reason }) =>
      this.#deadLetters.add(event, reason, rejectedMs),
    );
    queue.done(); // from here on the cursor has moved, whatever happens
    await this.#settlement.settle(run, deadLetters);
    if (run.to === this.#settlement.cursor(run.lane).offset) this.#oldest.settled(run);
    const delivered = run.events.length - refused.length;
    if (run.events.length > 0)
      this.#refusedInARow = delivered > 0 ? 0 : this.#refusedInARow + refused.length;
    this.#counters.delivered += delivered;
    this.#counters.filtered += run.filtered;
    this.#counters.dropped += run.dropped;
    this.#counters.corrupt += run.corrupt;
    this.#rate.add(run.to - run.from);
  }

  #warnOfGone({ lane, dropped, corrupt }: Run, refused: readonly Refused[]): void {
    const { logger } = this.#options;
    const [first] = refused;
    if (first) {
      const { topic, offset } = first.event;
      logger.warn(
        { lane, topic, offset, reason: first.reason, events: refused.length },
        'refused by the far side: kept as dead letters, the first of them is named',
      );
    }
    if (dropped + corrupt > 0) {
      logger.error({ lane, dropped, corrupt }, 'events were gone before this sink had them');
    }
  }

  /**
   * Throws when so many refusals need a person. What was refused is then asked again at every try,
   * so that mending the far side is enough.
   */
  #haltAtTooMany(queue: LaneQueue, flight: Flight): void {
    const { run, refused, parts } = flight;
    if (refused.size === 0) return;
    const events = Array.from(refused.values(), ({ event }) => event);
    const left = parts.flat().flatMap((piece) => piece.events);
    const noRoom = !this.#deadLetters.hasRoomFor(events);
    const allRefused = refused.size + left.length === run.events.length;
    const inARow = allRefused ? this.#refusedInARow + refused.size : 0;
    if (!noRoom && inARow <= REFUSED_IN_A_ROW_MAX) return;
    this.#refusedInARow = inARow;
    queue.done(
      onceMore(
        flight,
        [...events, ...left].sort((a, b) => a.offset - b.offset),
      ),
    );
    throw new HubError(
      'SINK_REFUSED',
      noRoom
        ? `${this.#deadLetters.count} dead letters wait for a decision: there is room for no more`
        : `the far side refused ${inARow} events in a row: is it the right one?`,
    );
  }

  #failed(error: unknown): void {
    if (this.#link.state === 'sending') this.#counters.retries++;
    this.#trouble = describeError(error);
    this.#step({ input: 'failed', error });
    const { state } = this.#link;
    const seconds = 'untilMs' in this.#link ? this.#secondsUntil(this.#link.untilMs) : 0;
    this.#options.logger.warn(
      { state, retryInSeconds: seconds, error: this.#trouble },
      'the sink does not take events: they stay in the log',
    );
  }

  #secondsUntil(untilMs: number): number {
    return Math.round((untilMs - this.#options.clock.monotonicMs()) / 100) / 10;
  }

  #step(input: LinkInput): void {
    const { clock, random, retry } = this.#options;
    const around = { nowMs: clock.monotonicMs(), random: random(), retry };
    this.#link = nextLink(this.#link, input, around);
  }
}
