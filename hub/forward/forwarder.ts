/**
 * Drives one sink: reads the log from the sink's cursor, cuts batches, sends them, settles them.
 *
 * Invariants:
 * - one batch is under way at a time, so events of a lane arrive in order; while the far side works
 *   on it, the next one is read and encoded;
 * - the cursor moves only over what is delivered, filtered, kept as a dead letter, or lost;
 * - an outage never counts against an event: only an answer about that event does;
 * - nothing here is shared with another forwarder but the log and the wake-up of `Recovery`.
 */
import type { Logger } from 'pino';
import type { Clock } from '../core/clock.ts';
import { describeError, HubError } from '../core/errors.ts';
import { type HubEvent, LANES, type Lane } from '../core/event.ts';
import { RateMeter } from '../core/rate.ts';
import type { Delivery, Sink } from '../core/sink.ts';
import type { SinkStatus } from '../core/status.ts';
import { topicMatcher } from '../core/topic.ts';
import type { DurableLog } from '../log/durable-log.ts';
import { Batcher, type BatchLimits, type Run } from './batcher.ts';
import { DEAD_LETTERS_MAX, DeadLetters } from './dead-letters.ts';
import { type Link, type LinkInput, nextLink, type RetryDelays, START } from './link.ts';
import type { Recovery } from './recovery.ts';
import { Settlement } from './settlement.ts';
import { Wakeup } from './wakeup.ts';

/** So many events in a row that the far side takes none of: not poison, but a wrong address. */
const REJECTIONS_IN_A_ROW_MAX = 100;
/** How long a sink may take to say goodbye. */
const CLOSE_TIMEOUT_MS = 2_000;

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
  readonly logger: Logger;
  /** Called with the time the far side took. */
  answered(seconds: number): void;
  ingestPerSecond(): number;
}

/** A run that is ready to be sent, and what has happened to its events so far. */
interface Prepared {
  readonly run: Run;
  /** Under way before its turn for a full batch; kept for the next try. */
  encoded?: Promise<unknown>;
  readonly deadLetters: { readonly event: HubEvent; readonly reason: string }[];
  /** Answers "again" about one event, by offset. */
  readonly attempts: Map<number, number>;
  /** What is still to be sent, when the far side took a part. */
  readonly rest: readonly HubEvent[];
}

export class Forwarder {
  readonly id: string;
  readonly #options: ForwarderOptions;
  readonly #settlement: Settlement;
  readonly #deadLetters: DeadLetters;
  readonly #rate: RateMeter;
  readonly #stop = new AbortController();
  readonly #wakeup = new Wakeup();
  #batchers: Map<Lane, Batcher>;
  #link: Link = START;
  /** Runs to be sent next, the halves of a refused batch among them. */
  #pending: Prepared[] = [];
  #ahead = new Map<Lane, Promise<Prepared | undefined>>();
  #rejectionsInARow = 0;
  #checkedMs = 0;
  readonly #counters = { delivered: 0, filtered: 0, lost: 0, retries: 0 };
  #running: Promise<void> | undefined;

  constructor(options: ForwarderOptions) {
    this.id = options.id;
    this.#options = options;
    const { log, id, clock, confirmWindowMs } = options;
    this.#settlement = new Settlement(log, id, clock, confirmWindowMs);
    this.#deadLetters = new DeadLetters(log, id);
    this.#rate = new RateMeter(() => clock.monotonicMs());
    this.#batchers = this.#newBatchers();
  }

  async start(): Promise<void> {
    await this.#deadLetters.load();
    const unsubscribe = this.#options.log.onCommit(() => this.#wakeup.wake());
    this.#running = this.#run().finally(unsubscribe);
  }

  /** Ends what is under way. What was not settled is sent again after the next start. */
  async stop(): Promise<void> {
    this.#step({ input: 'stop' });
    this.#stop.abort(new HubError('LOG_CLOSED', 'the hub is stopping'));
    this.#wakeup.wake();
    await this.#running;
    await this.#options.sink.close(AbortSignal.timeout(CLOSE_TIMEOUT_MS)).catch((error) => {
      this.#options.logger.warn({ error: describeError(error) }, 'the sink did not close cleanly');
    });
  }

  /** Counters since the start of the process. */
  counters() {
    return { ...this.#counters };
  }

  status(): SinkStatus {
    const { id, type, log, clock, ingestPerSecond } = this.#options;
    const link = this.#link;
    const sum = { lag: 0, delivered: 0, filtered: 0, lost: 0 };
    for (const lane of LANES) {
      const cursor = this.#settlement.cursor(lane);
      sum.lag += Math.max(0, log.range(lane).tail - cursor.offset);
      sum.delivered += cursor.delivered;
      sum.filtered += cursor.filtered;
      sum.lost += cursor.lost;
    }
    const eventsPerSecond = this.#rate.perSecond();
    const draining = eventsPerSecond - ingestPerSecond();
    const waiting = link.state === 'backoff' || link.state === 'halted';
    const eta = sum.lag === 0 ? 0 : waiting || draining <= 0 ? null : sum.lag / draining;
    return {
      id,
      type,
      state: link.state,
      ...(waiting ? { detail: link.detail } : {}),
      ...(waiting ? { retryAtMs: clock.wallMs() + link.untilMs - clock.monotonicMs() } : {}),
      lagEvents: sum.lag,
      lagMs: sum.lag === 0 ? 0 : this.#oldestAgeMs(),
      eventsPerSecond,
      etaSeconds: eta,
      deliveredEvents: sum.delivered,
      filteredEvents: sum.filtered,
      deadLetters: this.#deadLetters.count,
      lostEvents: sum.lost,
    };
  }

  #oldestAgeMs(): number {
    const oldest = this.#pending[0]?.run.events[0];
    if (!oldest) return 0;
    const { clock } = this.#options;
    const ageMs =
      oldest.bootId === clock.bootId
        ? clock.monotonicMs() - oldest.monotonicMs
        : clock.wallMs() - oldest.receivedMs;
    return Math.max(0, ageMs);
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
        await this.#sendNext();
        this.#step({ input: 'settled' });
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
    const { instance } = await this.#options.sink.connect(this.#stop.signal);
    this.#checkedMs = this.#options.clock.monotonicMs();
    if (!this.#settlement.seen(instance)) return;
    this.#options.logger.warn(
      { instance },
      'the far side restarted: what it had not confirmed is sent again',
    );
    this.#pending = [];
    this.#ahead.clear();
    this.#batchers = this.#newBatchers();
  }

  async #wait(untilMs: number): Promise<void> {
    const { host, recovery, clock } = this.#options;
    const timer = new Wakeup();
    const wake = () => timer.wake();
    const leave = host && this.#link.state === 'backoff' ? recovery.wait(host, wake) : undefined;
    this.#stop.signal.addEventListener('abort', wake);
    await timer.wait(Math.max(0, untilMs - clock.monotonicMs()));
    this.#stop.signal.removeEventListener('abort', wake);
    leave?.();
  }

  /** Waits for something to send. False when the link has to be looked after first. */
  async #hasNext(): Promise<boolean> {
    if (this.#pending.length > 0) return true;
    const now = this.#options.clock.monotonicMs();
    if (now - this.#checkedMs >= this.#settlement.checkIntervalMs) {
      await this.#connect();
      return false;
    }
    const next = await this.#next();
    if (next) {
      this.#pending.push(next);
      if (!next.run.full) await this.#linger(next);
      return true;
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
    const encoded = this.#options.sink.encode(run);
    encoded.catch(() => undefined); // awaited when its turn comes
    return { ...fresh(run), encoded };
  }

  /** Lets a small batch grow, for as long as its oldest event may wait. */
  async #linger(prepared: Prepared): Promise<void> {
    const { clock, batch } = this.#options;
    let { run } = prepared;
    while (!run.full && run.events.length > 0 && !this.#stop.signal.aborted) {
      const first = run.events[0];
      const arrivedMs = first?.bootId === clock.bootId ? first.monotonicMs : 0;
      const waitMs = arrivedMs + batch.lingerMs - clock.monotonicMs();
      if (waitMs <= 0) break;
      await this.#wakeup.wait(waitMs);
      run = (await this.#batchers.get(run.lane)?.extend(run)) ?? run;
      this.#pending[0] = fresh(run);
      if (run.lane !== 'alarm' && this.#alarmWaits()) break;
    }
  }

  #alarmWaits(): boolean {
    const { tail } = this.#options.log.range('alarm');
    return tail > this.#settlement.cursor('alarm').offset;
  }

  async #sendNext(): Promise<void> {
    const prepared = this.#pending[0];
    if (!prepared) return;
    const { run } = prepared;
    if (run.full && this.#pending.length === 1 && !this.#ahead.has(run.lane)) {
      this.#ahead.set(run.lane, this.#prepare(run.lane, run.to));
    }
    if (prepared.rest.length > 0) {
      const delivery = await this.#send(prepared);
      if (!delivery) return; // halved
      if (!this.#noteAnswers(prepared, delivery)) return;
    }
    await this.#settle(prepared);
  }

  /** Undefined when the far side refused the batch as a whole and it was cut in two. */
  async #send(prepared: Prepared): Promise<Delivery | undefined> {
    const { sink, clock, answered } = this.#options;
    const batch = { lane: prepared.run.lane, events: prepared.rest };
    try {
      prepared.encoded ??= sink.encode(batch);
      const encoded = await prepared.encoded.catch(unencodable);
      const startedMs = clock.monotonicMs();
      const delivery = await sink.send(encoded, this.#stop.signal);
      answered((clock.monotonicMs() - startedMs) / 1000);
      this.#reached();
      return delivery;
    } catch (error) {
      if (!(error instanceof HubError) || error.code !== 'SINK_REJECTED') throw error;
      this.#reached();
      if (batch.events.length === 1) return { rejected: [{ index: 0, reason: error.message }], retry: [] };
      this.#halve(prepared);
      return undefined;
    }
  }

  /** A poison event is found by halving: the half without it is delivered. */
  #halve(prepared: Prepared): void {
    const { run, rest } = prepared;
    const middle = rest[Math.ceil(rest.length / 2)];
    if (!middle) return;
    const [first, second] = split(run, middle.offset);
    const keep = (half: Run): Prepared => {
      const inside = ({ offset }: HubEvent) => offset >= half.from && offset < half.to;
      return {
        run: half,
        attempts: prepared.attempts,
        rest: rest.filter(inside),
        deadLetters: prepared.deadLetters.filter(({ event }) => inside(event)),
      };
    };
    this.#pending.splice(0, 1, keep(first), keep(second));
  }

  /** Sorts the answers. False when a part has to be sent again. */
  #noteAnswers(prepared: Prepared, { rejected, retry }: Delivery): boolean {
    const { rest, attempts, deadLetters } = prepared;
    for (const { index, reason } of rejected) {
      const event = rest[index];
      if (event) deadLetters.push({ event, reason });
    }
    const again: HubEvent[] = [];
    for (const index of retry) {
      const event = rest[index];
      if (!event) continue;
      const tries = (attempts.get(event.offset) ?? 0) + 1;
      attempts.set(event.offset, tries);
      if (tries < this.#options.retry.attemptsMax) again.push(event);
      else deadLetters.push({ event, reason: `not taken in ${tries} attempts` });
    }
    if (again.length === 0) return true;
    this.#pending[0] = { run: prepared.run, attempts, deadLetters, rest: again };
    throw new HubError('SINK_THROTTLED', `the far side took a part; ${again.length} events again`);
  }

  async #settle({ run, deadLetters, rest }: Prepared): Promise<void> {
    this.#refuseTooManyRejections(run.events.length, deadLetters.length);
    const rejectedMs = this.#options.clock.wallMs();
    const operations = deadLetters.map(({ event, reason }) => {
      this.#options.logger.warn(
        { topic: event.topic, offset: event.offset, reason },
        'event refused by the far side: kept as a dead letter',
      );
      return this.#deadLetters.add(event, reason, rejectedMs);
    });
    await this.#settlement.settle(run, operations);
    if (run.lost > 0) {
      const { lane, lost } = run;
      this.#options.logger.error({ lane, lost }, 'events were gone before this sink had them');
    }
    if (rest.length > deadLetters.length) this.#rejectionsInARow = 0;
    this.#counters.delivered += run.events.length - deadLetters.length;
    this.#counters.filtered += run.filtered;
    this.#counters.lost += run.lost;
    this.#rate.add(run.to - run.from);
    this.#pending.shift();
  }

  #refuseTooManyRejections(events: number, rejected: number): void {
    if (rejected === 0) return;
    if (rejected === events) this.#rejectionsInARow += rejected;
    if (this.#deadLetters.count + rejected > DEAD_LETTERS_MAX) {
      throw new HubError('SINK_REFUSED', `${DEAD_LETTERS_MAX} dead letters wait for a decision`);
    }
    if (this.#rejectionsInARow > REJECTIONS_IN_A_ROW_MAX) {
      throw new HubError(
        'SINK_REFUSED',
        `the far side refused ${REJECTIONS_IN_A_ROW_MAX} events in a row: is it the right one?`,
      );
    }
  }

  #reached(): void {
    const { host, recovery } = this.#options;
    if (host) recovery.reached(host);
  }

  #failed(error: unknown): void {
    const before = this.#link.state;
    this.#counters.retries++;
    this.#step({ input: 'failed', error });
    const { state } = this.#link;
    if (state === before) return;
    const seconds = 'untilMs' in this.#link ? this.#secondsUntil(this.#link.untilMs) : 0;
    this.#options.logger.warn(
      { state, retryInSeconds: seconds, error: describeError(error) },
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
    const { log, topics, batch } = this.#options;
    const wanted = topicMatcher(topics);
    return new Map(LANES.map((lane) => [lane, new Batcher(log, lane, wanted, batch)]));
  }
}

/** Without news from the log, look again: a wake-up that was missed costs this much. */
const IDLE_CHECK_MS = 1_000;

function fresh(run: Run): Prepared {
  return { run, deadLetters: [], attempts: new Map(), rest: run.events };
}

function split(run: Run, at: number): [Run, Run] {
  const before = run.events.filter(({ offset }) => offset < at);
  const after = run.events.filter(({ offset }) => offset >= at);
  const first = { ...run, events: before, to: at, filtered: at - run.from - run.lost - before.length };
  const second = { ...run, events: after, from: at, lost: 0, filtered: run.to - at - after.length };
  return [first, second];
}

/** An event that cannot be encoded is poison like one that the far side refuses. */
function unencodable(error: unknown): never {
  if (error instanceof HubError) throw error;
  throw new HubError('SINK_REJECTED', `cannot be encoded: ${describeError(error)}`, { cause: error });
}
