import type { Edges } from '../fields.ts';
import { Bell } from './bell.ts';
import type { KernelQuestion, LinePort, LineReader } from './line-reader.ts';
import { LossCount, TOO_FAST } from './loss-count.ts';
import { PulseTally } from './pulse-tally.ts';

/** Ten seconds of 1,000 edges a second; some hundred kB. */
export const EDGES_WAITING_MAX = 10_000;
/** As many as one commit of the log takes well. */
const UNDER_WAY_MAX = 64;
/** Edges that have not arrived after so long a pause do not arrive. */
const ASK_MS = 2_000;
/** A line that is too fast for long is told of now and then. */
const LOSS_MS = 10_000;

interface WaitingEdge {
  readonly active: boolean;
  readonly atMs: number;
}

/** Every edge is a message. Edges wait while the log is full; beyond a limit they are lost. */
export class EdgeReader implements LineReader {
  readonly #metric: string;
  readonly #loss: LossCount;
  readonly #bell = new Bell();
  #waiting: WaitingEdge[] = [];
  /** Where the next one is: taking from the front of an array costs as much as its length. */
  #next = 0;
  #underWay = 0;
  #failure: unknown;
  #tally = new PulseTally(undefined);
  #kernel: KernelQuestion | undefined;
  /** Of this watch, and counted as lost. */
  #missing = 0;
  #edgesWhenAsked = 0;
  #nextAskMs = Number.NEGATIVE_INFINITY;
  #nextLossMs = Number.NEGATIVE_INFINITY;

  constructor(metric: string, edges: Edges) {
    this.#metric = metric;
    this.#loss = new LossCount(edges);
  }

  began(active: boolean, _atMs: number, kernel?: KernelQuestion): void {
    this.#loss.began(active, kernel !== undefined);
    this.#tally = new PulseTally(kernel?.first);
    this.#kernel = kernel;
    this.#missing = 0;
  }

  edge(active: boolean, atMs: number): void {
    this.#loss.edge(active, atMs);
    this.#tally.edge(atMs);
    if (this.#waiting.length - this.#next >= EDGES_WAITING_MAX)
      this.#loss.lost(1, atMs, `more than ${EDGES_WAITING_MAX} edges waited for the log`);
    else this.#waiting.push({ active, atMs });
  }

  broke(): void {
    this.#kernel = undefined;
  }

  settled(): void {
    this.#bell.ring();
  }

  async run(port: LinePort, signal: AbortSignal): Promise<void> {
    this.#failure = undefined;
    while (!signal.aborted) {
      while (this.#underWay < UNDER_WAY_MAX && this.#next < this.#waiting.length) this.#give(port);
      if (this.#underWay === 0 && this.#loss.any && port.nowMs >= this.#nextLossMs)
        this.#giveLoss(port);
      await this.#bell.wait(ASK_MS, signal);
      await this.#askKernel(port.nowMs);
      if (this.#failure !== undefined) throw this.#failure;
    }
  }

  #give(port: LinePort): void {
    const edge = this.#waiting[this.#next++];
    if (edge === undefined) return;
    if (this.#next >= EDGES_WAITING_MAX || this.#next === this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#next);
      this.#next = 0;
    }
    this.#follow(port.tell({ [this.#metric]: edge.active }, edge.atMs));
  }

  #giveLoss(port: LinePort): void {
    this.#nextLossMs = port.nowMs + LOSS_MS;
    const loss = this.#loss.take();
    if (loss) this.#follow(port.tellLoss(loss));
  }

  async #askKernel(nowMs: number): Promise<void> {
    const [kernel, tally] = [this.#kernel, this.#tally];
    if (kernel === undefined || nowMs < this.#nextAskMs) return;
    this.#nextAskMs = nowMs + ASK_MS;
    const missing = tally.missing(tally.edges === this.#edgesWhenAsked) ?? 0;
    if (missing > this.#missing) {
      this.#loss.lost(missing - this.#missing, nowMs, TOO_FAST);
      this.#missing = missing;
    }
    this.#edgesWhenAsked = tally.edges;
    const count = await kernel.ask();
    if (count) tally.asked(count);
  }

  /** Those under way when a run ends go on, and count in the next one. */
  #follow(work: Promise<void>): void {
    this.#underWay++;
    work
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => {
        this.#underWay--;
        this.#bell.ring();
      });
  }
}
