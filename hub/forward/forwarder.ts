/**
 * Drives one sink: does what the state of its link says, with the queues of the sink.
 *
 * Invariants:
 * - all events of a device are sent one delivery after the other: they arrive in order;
 * - whatever is most urgent goes next: alarms, then by `order`;
 * - the cursor moves only over what is delivered, filtered, kept as a dead letter, or lost;
 * - dead letters are sent again, and after them a replay goes on, only while no live flight is due;
 * - an outage never counts against an event: only an answer about that event does;
 * - nothing here is shared with another forwarder but the log and the wake-up of `Recovery`.
 */
import type { Logger } from 'pino';
import type { Clock } from '../core/clock.ts';
import { endsWithin } from '../core/ends-within.ts';
import { describeError, HubError } from '../core/errors.ts';
import { type HubEvent, LANES, type Lane } from '../core/event.ts';
import { RateMeter } from '../core/rate.ts';
import type { Sink } from '../core/sink.ts';
import type { SinkStatus } from '../core/status.ts';
import { topicMatcher } from '../core/topic.ts';
import type { SinkTracing } from '../core/trace.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { BatchSender, PartlyTaken } from './batch-sender.ts';
import type { Run } from './batcher.ts';
import { ClockGate, type ClockWait } from './clock-gate.ts';
import { DeadLetterRetries } from './dead-letter-retries.ts';
import { DeadLetters } from './dead-letters.ts';
import type { Flight, PieceLimits } from './flight.ts';
import { type SinkBudget, SinkGovernor } from './governor/sink-governor.ts';
import { GuardedSink, LET_GO_MS } from './guarded-sink.ts';
import type { LaneQueue } from './lane-queue.ts';
import { laneQueues } from './lane-queues.ts';
import { laneStatus } from './lane-status.ts';
import { type Link, type LinkInput, nextLink, type RetryDelays, START } from './link.ts';
import { LiveFirst } from './live-first.ts';
import { OldestUnsettled } from './oldest-unsettled.ts';
import { Operating } from './operating.ts';
import type { Outages } from './outages.ts';
import { Pace } from './pace.ts';
import { pauseText } from './pause.ts';
import { Pump } from './pump.ts';
import type { FarSideLink } from './recovery.ts';
import { Refusals } from './refusals.ts';
import { Replays } from './replays.ts';
import { Settlement } from './settlement.ts';
import { ledgerStatus, linkStatus } from './sink-status.ts';
import { type Order, Turns } from './turns.ts';
import { waitForReturn } from './wait-for-return.ts';
import { Wakeup } from './wakeup.ts';

/** Without news from the log, look again: a wake-up that was missed costs this much. */
const IDLE_CHECK_MS = 1_000;
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
  /** What it may send, and when; undefined: anything. */
  readonly budget?: SinkBudget | undefined;
  /** What is known of the host that the sink connects to; undefined for a local one. */
  readonly farSide: FarSideLink | undefined;
  readonly outages: Outages;
  readonly clockWait: ClockWait;
  readonly logger: Logger;
  /** Called with the time the far side took, and the trace that this was a part of, if any. */
  answered(seconds: number, traceId?: string): void;
  readonly tracing?: SinkTracing | undefined;
  ingestPerSecond(): number;
}

/** What is sent: what the sink's own queues have, or what people asked for. */
type UnderWay = 'queues' | 'retry' | 'replay';

export class Forwarder {
  readonly id: string;
  /** Past ranges that the sink is sent again. */
  readonly replays: Replays;
  /** What the far side will not take, and what people decide about it. */
  readonly deadLetters: DeadLetters;
  readonly retries: DeadLetterRetries;
  readonly outages: Outages;
  /** What people tell the sink. */
  readonly operating: Operating;
  readonly #options: ForwarderOptions;
  readonly #sink: GuardedSink;
  readonly #governor: SinkGovernor;
  readonly #sender: BatchSender;
  readonly #pace: Pace;
  readonly #settlement: Settlement;
  readonly #oldest: OldestUnsettled;
  readonly #gate: ClockGate;
  readonly #rate: RateMeter;
  readonly #wakeup = new Wakeup();
  readonly #queues: readonly LaneQueue[];
  readonly #liveFirst: LiveFirst;
  readonly #refusals: Refusals;
  readonly #pump: Pump;
  #link: Link = START;
  /** Decided anew whenever nothing is on its way. */
  #underWay: UnderWay = 'queues';
  #checkedMs = 0;
  /** What went wrong last, until something is taken again. */
  #trouble: string | undefined;
  readonly #counters = { delivered: 0, filtered: 0, dropped: 0, corrupt: 0, retries: 0 };
  #running: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: ForwarderOptions) {
    this.id = options.id;
    this.outages = options.outages;
    this.#options = options;
    const { log, id, clock, confirmWindowMs, batch, topics, order } = options;
    const { attemptsMax } = options.retry;
    this.#sink = new GuardedSink(options);
    this.#governor = new SinkGovernor({
      budget: options.budget,
      sink: this.#sink,
      wake: () => this.#wakeup.wake(),
    });
    const sending = { sink: this.#sink, governor: this.#governor, attemptsMax };
    this.#sender = new BatchSender({ ...options, ...sending });
    this.#pace = new Pace({ limits: batch, requestsMax: options.requestsMax, clock });
    this.replays = new Replays({
      ...options,
      sink: id,
      wanted: topicMatcher(topics),
      wake: () => this.#wakeup.wake(),
    });
    this.#settlement = new Settlement(log, id, clock, confirmWindowMs);
    this.deadLetters = new DeadLetters(log, id, options.logger);
    this.retries = new DeadLetterRetries({
      ...{ ...options, sink: id, letters: this.deadLetters, settlement: this.#settlement },
      wake: () => this.#wakeup.wake(),
    });
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
    const { lingerMs } = batch;
    const around = { ...options, settlement: this.#settlement, queues: this.#queues, lingerMs };
    this.#liveFirst = new LiveFirst(around);
    this.#refusals = new Refusals(this.deadLetters, options.logger);
    this.#pump = new Pump({
      queues: this.#queues,
      turns: new Turns(this.#queues, order, clock),
      sender: this.#sender,
      pace: this.#pace,
      clock,
      waitMs: (queue, candidate) => this.#waitMs(queue, candidate),
      mustStop: () => this.#mustLookUp(),
      taken: () => this.#taken(),
      stepped: (flight) => this.#refusals.look(flight),
      restMs: (tookMs) => this.#liveFirst.restMs(tookMs),
      settle: (queue, flight) => this.#settle(queue, flight),
    });
    this.operating = new Operating({
      ...{ log, sink: id, clock, settlement: this.#settlement, wanted: topicMatcher(topics) },
      sending: () => this.#link.state === 'sending',
      wake: () => this.#wakeup.wake(),
      step: (input) => this.#step({ input }),
      forget: () => {
        for (const queue of this.#queues) queue.reset();
      },
    });
  }

  async start(): Promise<void> {
    await this.deadLetters.load();
    await this.outages.load();
    await this.operating.load();
    await this.#governor.start();
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
    this.operating.close(new HubError('LOG_CLOSED', 'the hub is stopping'));
    this.#wakeup.wake();
    const ended = this.#running ?? Promise.resolve();
    if (!(await endsWithin(LET_GO_MS, ended))) {
      this.#options.logger.warn('the sink does not let go of what is under way: left behind');
    }
    this.outages.stop();
    await this.#sink.close();
    this.#governor.stop();
  }

  /** Counters since the start of the process. */
  counters() {
    return { ...this.#counters, delivered: this.#counters.delivered + this.retries.counts().taken };
  }

  status(): SinkStatus {
    const { id, type, log, clock, batch, ingestPerSecond } = this.#options;
    const { detail: held } = this.#governor;
    const trouble = this.operating.paused ? pauseText(this.operating.paused) : this.#trouble;
    const moving = this.#link.state === 'reading' ? (this.#gate.detail ?? held) : undefined;
    return {
      ...{ id, type },
      ...linkStatus(this.#link, moving ?? trouble ?? held, clock),
      ...ledgerStatus(
        LANES.map((lane) => laneStatus(lane, this.#settlement.cursor(lane), log.range(lane).tail)),
        { link: this.#link, settled: this.#rate.perSecond(), ingest: ingestPerSecond() },
        batch.lingerMs,
      ),
      lagMs: Math.max(0, this.#oldest.ageMs()),
      eventsPerSecond: this.#rate.perSecond(),
      deadLetters: this.deadLetters.count,
      pace: this.#pace.status(),
      ...this.#governor.part(),
      replay: this.replays.status(),
      outage: this.outages.current(),
    };
  }

  async #run(): Promise<void> {
    while (this.#link.state !== 'stopped') {
      try {
        await this.operating.carryOut();
        await this.#act();
      } catch (error) {
        if (this.#stopping !== undefined) return;
        if (this.operating.interrupts(error)) this.#step({ input: 'again' });
        else this.#failed(error);
      }
    }
  }

  /** Does what the state of the link says. */
  async #act(): Promise<void> {
    switch (this.#link.state) {
      case 'connecting':
        if (await this.#mustNotConnect()) return;
        await this.#connect();
        this.outages.connected();
        this.#step({ input: 'connected' });
        return;
      case 'reading':
        if (await this.#hasNext()) this.#step({ input: 'batch' });
        return;
      case 'sending':
        if (await this.#send()) this.#taken();
        this.#step({ input: 'settled' });
        return;
      case 'backoff':
      case 'halted':
        this.#step({ input: 'waited', isBack: await this.#wait(this.#link.untilMs) });
        return;
      case 'paused':
        await this.operating.idle();
        return;
      case 'stopped':
    }
  }

  async #connect(): Promise<void> {
    const { instance } = await this.#sink.connect(this.operating.signal);
    this.#governor.connected();
    this.#checkedMs = this.#options.clock.monotonicMs();
    if (!this.#settlement.seen(instance)) {
      this.replays.confirm();
      this.retries.confirm();
      return;
    }
    this.replays.rewind();
    this.retries.rewind();
    this.#options.logger.warn(
      { instance },
      'the far side restarted: what it had not confirmed is sent again',
    );
    for (const queue of this.#queues) queue.reset();
  }

  /** True when the far side may be back before. */
  async #wait(untilMs: number): Promise<boolean> {
    const { farSide, clock } = this.#options;
    // who was asked to wait waits, whatever the same host says to others
    const early = this.#link.state === 'backoff' && this.#link.reconnect;
    const waitMs = untilMs - clock.monotonicMs();
    return await waitForReturn(waitMs, early ? farSide : undefined, this.operating.signal);
  }

  /** Waits for something to send. False when the link has to be looked after first. */
  async #hasNext(): Promise<boolean> {
    if (this.#mustConnect()) {
      await this.#connect();
      return false;
    }
    this.#correctTimes();
    await this.#liveFirst.leaveBehind();
    const dueInMs = await this.#dueInMs();
    if (dueInMs <= 0) {
      this.#underWay = 'queues';
      return true;
    }
    if (this.retries.due && this.#mayGo(this.retries.lane)) {
      this.#underWay = 'retry';
      return await this.retries.prepare();
    }
    if (this.replays.due && this.#mayGo(this.replays.pending[0]?.run.lane)) {
      this.#underWay = 'replay';
      return await this.replays.prepare();
    }
    const { checkIntervalMs } = this.#settlement;
    await this.#wakeup.wait(Math.min(dueInMs, checkIntervalMs, IDLE_CHECK_MS));
    return false;
  }

  #mustConnect(): boolean {
    const sinceMs = this.#options.clock.monotonicMs() - this.#checkedMs;
    const due = sinceMs >= this.#settlement.checkIntervalMs;
    return this.#governor.moved || (due && !this.#governor.mayNotConnect);
  }

  /** Whether there is something to do that cannot be done while something is on its way. */
  #mustLookUp(): boolean {
    return (
      this.operating.asked || this.#mustConnect() || this.#gate.outdated || this.#liveFirst.isDue
    );
  }

  /** In how long something is due, in ms. */
  async #dueInMs(): Promise<number> {
    let dueInMs = Number.POSITIVE_INFINITY;
    for (const queue of this.#queues) {
      const candidate = queue.begun ? undefined : await queue.candidate();
      if (queue.begun || candidate) {
        dueInMs = Math.min(dueInMs, this.#waitMs(queue, candidate));
      }
    }
    return dueInMs;
  }

  /**
   * How long what a queue has may or has to wait yet, in ms: its `candidate`, or what has been sent
   * and is to be sent again.
   */
  #waitMs({ lane }: LaneQueue, candidate: Flight | undefined): number {
    if (candidate?.run.events.length === 0) return 0;
    const nowMs = this.#options.clock.monotonicMs();
    const budgetMs = this.#governor.waitMs(lane, nowMs);
    if (lane === 'alarm') return budgetMs;
    const heldMs = Math.max(budgetMs, this.#pace.notBeforeMs - nowMs);
    if (!candidate) return heldMs;
    this.#liveFirst.look(candidate);
    return candidate.run.full ? heldMs : Math.max(heldMs, this.#gathersMs(candidate.run));
  }

  /** Whether the budget lets what people asked for go. */
  #mayGo(lane: Lane = 'normal'): boolean {
    return this.#governor.waitMs(lane, this.#options.clock.monotonicMs()) === 0;
  }

  /** The budget has nothing left for it, and nothing waits that goes all the same. */
  async #mustNotConnect(): Promise<boolean> {
    if (!this.#governor.mayNotConnect) return false;
    const nowMs = this.#options.clock.monotonicMs();
    const waits = (queue: LaneQueue) => this.#governor.waitMs(queue.lane, nowMs) > 0;
    for (const queue of this.#queues)
      if (!waits(queue) && (queue.begun || (await queue.candidate()))) return false;
    await this.#wakeup.wait(IDLE_CHECK_MS);
    return true;
  }

  /** How long the oldest event of a run may still wait for company. */
  #gathersMs({ events: [first] }: Run): number {
    const { clock, batch } = this.#options;
    const arrivedMs = first?.bootId === clock.bootId ? first.monotonicMs : 0;
    return arrivedMs + batch.lingerMs - clock.monotonicMs();
  }

  /** True when the far side took something of what people asked for. */
  async #send(): Promise<boolean> {
    const { signal } = this.operating;
    if (this.#underWay === 'retry') return await this.retries.send(this.#sender, signal);
    if (this.#underWay === 'replay') return await this.#sendReplay();
    try {
      await this.#pump.run(signal);
    } catch (error) {
      this.#slowDown(error);
      throw error;
    } finally {
      const tooMuch = this.#refusals.takeInstead();
      if (tooMuch) for (const queue of this.#queues) queue.replace(tooMuch.flight, tooMuch.instead);
    }
    return false; // of these it has been told already
  }

  #slowDown(error: unknown): void {
    if (!(error instanceof HubError) || error instanceof PartlyTaken) return;
    if (error.code === 'SINK_TIMEOUT') {
      const eventsMax = this.#pace.timedOut();
      for (const queue of this.#queues) queue.shrink(eventsMax);
    }
    if (error.code === 'SINK_THROTTLED') {
      this.#pace.throttled(Math.max(this.#rate.perSecond(), this.#options.batch.eventsMax));
    }
  }

  async #sendReplay(): Promise<boolean> {
    const [flight] = this.replays.pending;
    if (!flight) return false;
    const answered = await this.#sender.advance(flight, this.operating.signal);
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

  /** The far side takes events. */
  #taken(): void {
    const recovered = this.#link.failures > 0;
    this.#step({ input: 'taken' });
    this.outages.taken();
    this.#trouble = undefined;
    if (recovered) this.#options.farSide?.reached();
  }

  async #settle(queue: LaneQueue, flight: Flight): Promise<void> {
    const { run, refused } = flight;
    const deadLetters = this.#refusals.keep(flight, this.#options.clock.wallMs());
    queue.shift(); // from here on the cursor has moved, whatever happens
    await this.#settlement.settle(run, deadLetters);
    if (run.to === this.#settlement.cursor(run.lane).offset) this.#oldest.settled(run);
    this.#counters.delivered += run.events.length - refused.size;
    this.#counters.filtered += run.filtered;
    this.#counters.dropped += run.dropped;
    this.#counters.corrupt += run.corrupt;
    this.#rate.add(run.to - run.from);
    if (run.events.length > refused.size) this.outages.taken();
  }

  #failed(error: unknown): void {
    if (this.#link.state === 'sending') this.#counters.retries++;
    this.#governor.failed();
    this.#trouble = describeError(error);
    this.outages.failed(error);
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
