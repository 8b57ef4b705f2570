import type { StateChange } from '../../../hub/core/bridge.ts';
import type { Value } from '../../sampling/messages.ts';
import type { KernelCount } from './pulse-tally.ts';

export type Values = Readonly<Record<string, Value>>;

/** Edges of a line that nobody will ever see. */
export interface EdgeLoss {
  readonly count: number;
  /** Monotonic, in ms: when the first and the last of them was noticed. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly reason: string;
}

export interface KernelQuestion {
  readonly first: KernelCount;
  ask(): Promise<KernelCount | undefined>;
}

/** What a line tells the hub through. Each resolves when it is durable. */
export interface LinePort {
  /** `atMs` is monotonic. */
  tell(values: Values, atMs: number, state?: readonly StateChange[]): Promise<void>;
  tellLoss(loss: EdgeLoss): Promise<void>;
  readonly nowMs: number;
}

/**
 * What becomes of one line. It outlives the watch of its line, so that a line that comes back goes
 * on where it was. The first three are called by the watch and never wait.
 */
export interface LineReader {
  /** The line is watched, with this level. `kernel` asks what the kernel has counted of it. */
  began(active: boolean, atMs: number, kernel?: KernelQuestion): void;
  edge(active: boolean, atMs: number): void;
  /** The line is no longer watched. */
  broke(): void;
  /** Edges that were there have all been told. */
  settled(): void;
  /**
   * Tells, until the signal aborts. Rejects as the port does. One at a time; a call after an abort
   * first waits for what the one before it has handed over.
   */
  run(port: LinePort, signal: AbortSignal): Promise<void>;
  /** What must not be lost at the stop of the hub. */
  lastWords?(): { readonly values: Values; readonly state: readonly StateChange[] } | undefined;
}
