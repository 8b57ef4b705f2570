/**
 * What is known of the wall clock. `unsynced`: something here keeps time and has not managed yet.
 * `unknown`: nothing here tells, as in a container.
 */
export type ClockState = 'synced' | 'unsynced' | 'unknown';

export interface ClockSync {
  readonly state: ClockState;
  /** What told so: `chrony`. */
  readonly source?: string;
}

/** Time, injected so that tests can own it. Durations are measured on the monotonic clock only. */
export interface Clock {
  /** Wall clock in ms since 1970. On a Pi without a battery it can be in the past. */
  wallMs(): number;
  /** Monotonic, in ms since the boot that `bootId` names, or a moment near it; never jumps. */
  monotonicMs(): number;
  /** Whether the wall clock is right now. Cheap: asked for every block of events. */
  synced(): boolean;
  /** The same, with what is known about it. As cheap. */
  sync(): ClockSync;
  /** Names this boot of the machine: monotonic times compare only within one boot. */
  readonly bootId: string;
}
