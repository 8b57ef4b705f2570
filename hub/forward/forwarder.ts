/**
 * Drives one sink: reads the log from the sink's cursor, cuts batches, sends them, settles them.
 *
 * Invariants:
 * - one batch is under way at a time, so events of a lane arrive in order; while the far side works
 *   on it, the next one is read and encoded;
 * - the cursor moves only over what is delivered, filtered, kept as a dead letter, or lost;
 * - a replay goes on only while no live batch is due, and moves no cursor;
 * - an outage never counts against an event: only an answer about that event does;
 * - nothing here is shared with another forwarder but the log and the wake-up of `Recovery`.
 */
import type { Logger } from 'pino';
import type { Clock } from '../core/clock.ts';
import { describeError, HubError } from '../core/errors.ts';
import { LANES, type Lane } from '../core/event.ts';
import { sumOfLost } from '../core/lost-counts.ts';
import { RateMeter } from '../core/rate.ts';
import type { Sink } from '../core/sink.ts';
import type { SinkStatus } from '../core/status.ts';
import { topicMatcher } from '../core/topic.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { BatchSender } from './batch-sender.ts';
import { Batcher, type BatchLimits, type Run } from './batcher.ts';
import { ClaimedLog } from './claimed-log.ts';
import { ClockGate, type ClockWait } from './clock-gate.ts';
import { DeadLetters } from './dead-letters.ts';
import { endsWithin } from './ends-within.ts';
import { etaSeconds } from './eta.ts';
import { laneStatus } from './lane-status.ts';
import { type Link, type LinkInput, nextLink, type RetryDelays, START } from './link.ts';
import { OldestUnsettled } from './oldest-unsettled.ts';
import { fresh, type Prepared, type Refused } from './prepared.ts';
import type { Recovery } from './recovery.ts';
import { Replays } from './replays.ts';
import { Settlement } from './settlement.ts';
import { Wakeup } from './wakeup.ts';

/** So many events in a row that the far side takes none of: not poison, but a wrong address. */
const REJECTIONS_IN_A_ROW_MAX = 100;
/** How long a sink may take to say goodbye, and before that to notice that it is asked to. */
const CLOSE_TIMEOUT_MS = 2_000;
/** Far beyond every sink's own time limit: a sink that has forgotten it must not hang for ever. */
const CONNECT_TIMEOUT_MS = 60_000;
/** Without news from the log, look again: a wake-up that was missed costs this much. */
const IDLE_CHECK_MS = 1_000;

export interface ForwarderOptions {
  readonly id: string;
  readonly type: string;
  readonly sink: Sink;
  readonly log: DurableLog;
  readonly clock: Clock;
  random(): number;
  readonly topics: readonly string[];
  readonly batch: BatchLimits & { readonly lingerMs: number };
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

export class Forwarder {
  readonly id: string;
  /** Past ranges that the sink is sent again. */
  readonly replays: Replays;
  readonly #options: ForwarderOptions;
  readonly #sender: BatchSender;
  readonly #settlement: Settlement;
  readonly #deadLetters: DeadLetters;
  readonly #oldest: OldestUnsettled;
  readonly #gate: ClockGate;
  readonly #rate: RateMeter;
  readonly #stop = new AbortController();
  readonly #wakeup = new Wakeup();
  readonly #claimed: ClaimedLog;
  #batchers: Map<Lane, Batcher>;
  #link: Link = START;
  /** Runs to be sent next, the halves of a refused batch among them. */
  #pending: Prepared[] = [];
  /** Whose queue is sent from: decided anew for every batch, live first. */
  #turn: 'live' | 'replay' = 'live';
  #ahead = new Map<Lane, Promise<Prepared | undefined>>();
  #rejectionsInARow = 0;
  #checkedMs = 0;
  /** What went wrong last, until something is taken again. */
  #trouble: string | undefined;
  readonly #counters = { delivered: 0, filtered: 0, dropped: 0, corrupt: 0, retries: 0 };
  #running: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: ForwarderOptions) {
    this.id = options.id;
    this.#options = options;
    const { log, id, clock, confirmWindowMs } = options;
    const { attemptsMax } = options.retry;
    this.#sender = new BatchSender({ ...options, attemptsMax });
    this.replays = new Replays({
      ...options,
      sink: id,
      wanted: topicMatcher(options.topics),
      wake: () => this.#wakeup.wake(),
    });
    this.#settlement = new Settlement(log, id, clock, confirmWindowMs);
    this.#claimed = new ClaimedLog(log, (lane) => this.#settlement.cursor(lane).offset);
    this.#deadLetters = new DeadLetters(log, id);
    this.#oldest = new OldestUnsettled(log, (lane) => this.#settlement.cursor(lane).offset);
    this.#gate = new ClockGate(log, options.clockWait);
    this.#rate = new RateMeter(() => clock.monotonicMs());
    this.#batchers = this.#newBatchers();
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
    const { sink, logger } = this.#options;
    const ended = this.#running ?? Promise.resolve();
    if (!(await endsWithin(CLOSE_TIMEOUT_MS, ended))) {
      logger.warn('the sink does not let go of what is under way: left behind');
    }
    const closed = settled(
      () => sink.close(AbortSignal.timeout(CLOSE_TIMEOUT_MS)),
      (error) => {
        logger.warn({ error: describeError(error) }, 'the sink did not close cleanly');
      },
    );
    if (!(await endsWithin(CLOSE_TIMEOUT_MS, closed))) logger.warn('the sink does not close');
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
    const instance = await this.#instance();
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
    this.#pending = [];
    this.#ahead.clear();
    this.#batchers = this.#newBatchers();
  }

  /** Connects, and answers which instance of the far side there is. */
  async #instance(): Promise<string | undefined> {
    const connecting = new AbortController();
    const stop = () => connecting.abort(this.#stop.signal.reason);
    const timer = setTimeout(
      () => connecting.abort(new HubError('SINK_TIMEOUT', 'connecting took too long')),
      CONNECT_TIMEOUT_MS,
    );
    this.#stop.signal.addEventListener('abort', stop);
    try {
      return (await this.#options.sink.connect(connecting.signal)).instance;
    } finally {
      clearTimeout(timer);
      this.#stop.signal.removeEventListener('abort', stop);
    }
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
    this.#turn = 'live';
    if (this.#pending.length > 0) return true;
    const now = this.#options.clock.monotonicMs();
    if (now - this.#checkedMs >= this.#settlement.checkIntervalMs) {
      await this.#connect();
      return false;
    }
    const next = await this.#next();
    if (this.replays.due && !(next && this.#isDue(next))) {
      this.#turn = 'replay'; // live events that gather until they are due are read again
      return await this.replays.prepare();
    }
    if (next) {
      this.#pending.push(next);
      if (!next.run.full) await this.#linger(next);
      return this.#pending.length > 0;
    }
    await this.#wakeup.wait(Math.min(this.#settlement.checkIntervalMs, IDLE_CHECK_MS));
    return false;
  }

  async #next(): Promise<Prepared | undefined> {
    for (const lane of LANES) {
      const ahead = this.#ahead.get(lane);
      this.#ahead.delete(lane);
      const prepared = await (ahead ?? this.#prepare(lane, this.#settlement.cursor(lane).offset));
      if (prepared) return prepared;
    }
    return undefined;
  }

  async #prepare(lane: Lane, from: number): Promise<Prepared | undefined> {
    const run = await this.#batchers.get(lane)?.next(from);
    if (!run) return undefined;
    if (!run.full) return fresh(run);
    const encoded = this.#sender.encode(run);
    encoded.catch(() => undefined); // awaited when its turn comes
    return { ...fresh(run), encoded };
  }

  /** Lets a small batch grow, for as long as its oldest event may wait. */
  async #linger(prepared: Prepared): Promise<void> {
    let { run } = prepared;
    while (!run.full && run.events.length > 0 && !this.#stop.signal.aborted) {
      const waitMs = this.#dueInMs(run);
      if (waitMs <= 0) break;
      await this.#wakeup.wait(waitMs);
      if (this.replays.due) {
        this.#pending = []; // it goes on gathering in the log
        return;
      }
      run = (await this.#batchers.get(run.lane)?.extend(run)) ?? run;
      this.#pending[0] = fresh(run);
      if (run.lane !== 'alarm' && this.#alarmWaits()) break;
    }
  }

  #isDue({ run }: Prepared): boolean {
    return run.full || run.events.length === 0 || this.#dueInMs(run) <= 0;
  }

  /** How long the oldest event of a run may still wait for company. */
  #dueInMs({ events: [first] }: Run): number {
    const { clock, batch } = this.#options;
    const arrivedMs = first?.bootId === clock.bootId ? first.monotonicMs : 0;
    return arrivedMs + batch.lingerMs - clock.monotonicMs();
  }

  #alarmWaits(): boolean {
    const { tail } = this.#options.log.range('alarm');
    return tail > this.#settlement.cursor('alarm').offset;
  }

  /** True when the far side took something. */
  async #sendNext(): Promise<boolean> {
    if (this.#turn === 'replay') return await this.#sendReplay();
    this.#correctTimes();
    const prepared = this.#pending[0];
    if (!prepared) return false;
    const { run } = prepared;
    this.#oldest.sending(run);
    if (run.full && this.#pending.length === 1 && !this.#ahead.has(run.lane)) {
      const ahead = this.#prepare(run.lane, run.to);
      ahead.catch(() => undefined); // awaited when its turn comes
      this.#ahead.set(run.lane, ahead);
    }
    if (!(await this.#sender.sendFirst(this.#pending, this.#stop.signal))) return false;
    await this.#settle(prepared);
    return run.events.length > prepared.refused.size;
  }

  async #sendReplay(): Promise<boolean> {
    const { pending } = this.replays;
    const [prepared] = pending;
    if (!prepared || !(await this.#sender.sendFirst(pending, this.#stop.signal))) return false;
    this.replays.settle(prepared);
    return prepared.run.events.length > prepared.refused.size;
  }

  #correctTimes(): void {
    const retimed = this.#gate.retimed(this.#pending);
    if (!retimed) return;
    this.#pending = retimed;
    this.#ahead.clear();
    this.#batchers = this.#newBatchers();
  }

  #settledSome(taken: boolean): void {
    const { host, recovery } = this.#options;
    const recovered = taken && this.#link.failures > 0;
    this.#step({ input: 'settled', taken });
    if (taken) this.#trouble = undefined;
    if (recovered && host) recovery.reached(host);
  }

  async #settle(prepared: Prepared): Promise<void> {
    const { run } = prepared;
    const refused = [...prepared.refused.values()].sort((a, b) => a.event.offset - b.event.offset);
    this.#haltAtTooMany(prepared, refused);
    this.#warnOfGone(run, refused);
    const rejectedMs = this.#options.clock.wallMs();
    const deadLetters = refused.map(({ event, reason }) =>
      this.#deadLetters.add(event, reason, rejectedMs),
    );
    this.#pending.shift(); // from here on the cursor has moved, whatever happens
    await this.#settlement.settle(run, deadLetters);
    this.#oldest.settled(run);
    const delivered = run.events.length - refused.length;
    this.#rejectionsInARow = delivered > 0 ? 0 : this.#rejectionsInARow + refused.length;
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
  #haltAtTooMany(prepared: Prepared, refused: readonly Refused[]): void {
    if (refused.length === 0) return;
    const events = refused.map(({ event }) => event);
    const noRoom = !this.#deadLetters.hasRoomFor(events);
    const allRefused = refused.length === prepared.run.events.length;
    const inARow = allRefused ? this.#rejectionsInARow + refused.length : 0;
    if (!noRoom && inARow <= REJECTIONS_IN_A_ROW_MAX) return;
    this.#pending[0] = { ...fresh(prepared.run), rest: events };
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

  #newBatchers(): Map<Lane, Batcher> {
    const { topics, batch } = this.#options;
    const log = this.#claimed;
    const wanted = topicMatcher(topics);
    const { holds } = this.#gate;
    return new Map(LANES.map((lane) => [lane, new Batcher(log, lane, wanted, batch, holds)]));
  }
}

/** Runs `work` and hands its failure on, also one that comes before the first await. */
async function settled(work: () => Promise<void>, failed: (error: unknown) => void): Promise<void> {
  try {
    await work();
  } catch (error) {
    failed(error);
  }
}
