import { type CommitProfile, type Gathered, Gathering } from '../../hub/log/commit/gathering.ts';

/** Publishes at `timesMs`, whatever is acknowledged; or as answers come, `windowed`. */
export type Traffic =
  | { readonly kind: 'open'; readonly timesMs: readonly number[] }
  | { readonly kind: 'closed'; readonly window: number; thinkMs(): number };

export interface SimulationOptions {
  readonly profile: CommitProfile;
  readonly traffic: readonly Traffic[];
  readonly seconds: number;
  /** What one write takes. */
  readonly fsyncMs: () => number;
  readonly eventBytes?: number;
}

export interface SimulationResult {
  readonly commits: number;
  /** Of each source: how long its events waited for the acknowledgement, in their order. */
  readonly latenciesMs: readonly (readonly number[])[];
}

interface Waiting {
  readonly source: number;
  readonly sentMs: number;
}

interface Group {
  readonly gathered: Gathered;
  readonly events: Waiting[];
}

/**
 * The hub's group commit in simulated time: one write at a time, the next group gathers meanwhile.
 * Hours take milliseconds, and every run is the same.
 */
export class CommitSimulation {
  readonly #options: SimulationOptions;
  readonly #gathering: Gathering;
  /** Publishes that depend on nothing, in order, and how many have come. */
  readonly #planned: Waiting[] = [];
  #plannedCount = 0;
  /** Publishes that follow an answer, in order: few at a time. */
  readonly #following: Waiting[] = [];
  readonly #queue: Group[] = [];
  readonly #latenciesMs: number[][];
  #open: Group | undefined;
  #writing: { readonly group: Group; readonly endMs: number } | undefined;
  #commits = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#gathering = new Gathering(options.profile);
    this.#latenciesMs = options.traffic.map(() => []);
  }

  run(): SimulationResult {
    for (const [source, traffic] of this.#options.traffic.entries()) {
      const { kind } = traffic;
      const timesMs = kind === 'open' ? traffic.timesMs : Array(traffic.window).fill(0);
      for (const sentMs of timesMs) this.#planned.push({ source, sentMs });
    }
    this.#planned.sort((a, b) => a.sentMs - b.sentMs);
    const endMs = this.#options.seconds * 1000;
    for (let nowMs = 0; nowMs < endMs; ) nowMs = this.#step();
    return { commits: this.#commits, latenciesMs: this.#latenciesMs };
  }

  /** The next thing to happen, and when. */
  #step(): number {
    const arrivalMs = this.#next()?.sentMs ?? Number.POSITIVE_INFINITY;
    const writtenMs = this.#writing?.endMs ?? Number.POSITIVE_INFINITY;
    const dueMs = this.#dueMs();
    const nowMs = Math.min(arrivalMs, writtenMs, dueMs);
    if (arrivalMs === nowMs) this.#arrive(nowMs);
    else if (writtenMs === nowMs) this.#written(nowMs);
    else if (dueMs === nowMs) this.#write(nowMs);
    return nowMs;
  }

  #dueMs(): number {
    const next = this.#queue[0];
    if (!next || this.#writing) return Number.POSITIVE_INFINITY;
    const last = next.events.at(-1)?.sentMs ?? 0;
    return Math.max(this.#gathering.dueMs(next.gathered), last);
  }

  #next(): Waiting | undefined {
    const [planned, following] = [this.#planned[this.#plannedCount], this.#following[0]];
    if (!planned || !following) return planned ?? following;
    return planned.sentMs <= following.sentMs ? planned : following;
  }

  #arrive(nowMs: number): void {
    const event = this.#next();
    if (!event) return;
    if (event === this.#following[0]) this.#following.shift();
    else this.#plannedCount += 1;
    if (!this.#open) {
      const alone = this.#queue.length === 0 && !this.#writing;
      this.#open = { gathered: this.#gathering.opened(nowMs, alone), events: [] };
      this.#queue.push(this.#open);
    }
    const { gathered, events } = this.#open;
    events.push(event);
    const bytes = events.length * (this.#options.eventBytes ?? 120);
    if (!gathered.enough) this.#gathering.joined(gathered, nowMs, bytes, false);
  }

  #write(nowMs: number): void {
    const group = this.#queue.shift();
    if (!group) return;
    if (this.#open === group) this.#open = undefined;
    this.#gathering.closed(group.gathered, nowMs, group.events.length);
    this.#writing = { group, endMs: nowMs + this.#options.fsyncMs() };
    this.#commits += 1;
  }

  #written(nowMs: number): void {
    const events = this.#writing?.group.events ?? [];
    this.#writing = undefined;
    const next = this.#queue[0];
    if (next && this.#gathering.dueMs(next.gathered) <= nowMs) this.#write(nowMs);
    this.#gathering.acknowledged(nowMs);
    for (const { source, sentMs } of events) {
      this.#latenciesMs[source]?.push(nowMs - sentMs);
      const traffic = this.#options.traffic[source];
      if (traffic?.kind === 'closed') this.#insert({ source, sentMs: nowMs + traffic.thinkMs() });
    }
  }

  #insert(event: Waiting): void {
    const at = this.#following.findIndex(({ sentMs }) => sentMs > event.sentMs);
    this.#following.splice(at < 0 ? this.#following.length : at, 0, event);
  }
}
