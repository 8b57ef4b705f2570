import type { HubError } from '../../hub/core/errors.ts';
import type { Bias, Edges } from './fields.ts';
import type { LineReference } from './line-name.ts';
import type { KernelCount } from './lines/pulse-tally.ts';

/** How lines are asked for: lines with the same settings are watched together. */
export interface LineSettings {
  readonly bias: Bias | undefined;
  readonly activeLow: boolean;
}

export interface WatchSettings extends LineSettings {
  readonly edges: Edges;
  readonly debounceMs: number;
}

/** What is told of watched lines, at once and without waiting. `atMs` is monotonic. */
export interface EdgeListener {
  edge(offset: number, active: boolean, atMs: number): void;
  /** All edges that were there have been told. */
  settled(): void;
}

/** Lines that are being watched. */
export interface Watch {
  /** By offset, as they were at the start: true is active. */
  readonly levels: ReadonlyMap<number, boolean>;
  /**
   * What the kernel has counted of a line; undefined where it does not say. Only where it counts
   * the same edges: not with a debounce.
   */
  readonly count?: (offset: number) => Promise<KernelCount | undefined>;
  /** Resolves with why, when they are no longer watched. Not after `stop`. */
  readonly ended: Promise<HubError>;
  stop(): Promise<void>;
}

/** An output that is held. Its calls take effect one after the other. */
export interface Holder {
  /** Throws BRIDGE_LOST when the line could not be set; it is then held no longer. */
  set(active: boolean): Promise<void>;
  /** Active for so long, then not. Resolves when it has begun; what follows ends it early. */
  pulse(durationMs: number): Promise<void>;
  /** Resolves with why, when it is no longer held. Not after `release`. */
  readonly ended: Promise<HubError>;
  /** Lets go of the line, in this state if one is given. Never rejects. */
  release(active: boolean | 'keep'): Promise<void>;
}

export interface HoldRequest extends LineSettings {
  readonly offset: number;
  readonly active: boolean;
  /** A pulse has ended by itself. */
  readonly pulseEnded: () => void;
}

/** A way to the lines of one chip. Every error is a BRIDGE_LOST that says what to do. */
export interface Backend {
  readonly kind: 'cdev' | 'sysfs';
  /** `gpiochip0 [pinctrl-rp1] by gpiod 2.2.1`. */
  readonly title: string;
  readonly onHeader: boolean;
  /** Where a line is on the chip. Throws when there is no such line. */
  offsetOf(line: LineReference): number;
  /** Throws when not all of them can be watched. */
  watch(
    offsets: readonly number[],
    settings: WatchSettings,
    listener: EdgeListener,
  ): Promise<Watch>;
  hold(request: HoldRequest): Promise<Holder>;
}
