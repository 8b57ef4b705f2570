import type { Clock, ClockState, ClockSync } from '../../hub/core/clock.ts';

/**
 * A clock that stands still until it is moved. `advance` moves both; `jump` only the wall
 * clock.
 */
export class FakeClock implements Clock {
  #wallMs = Date.UTC(2026, 0, 1);
  #monotonicMs = 1_000_000;
  isSynced = true;
  /** What `sync` says while `isSynced` is false. */
  otherwise: ClockState = 'unsynced';
  bootId = '0123456789abcdef';
  #boots = 0;

  wallMs(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  synced(): boolean {
    return this.isSynced;
  }

  sync(): ClockSync {
    return { state: this.isSynced ? 'synced' : this.otherwise };
  }

  advance(ms: number): void {
    this.#wallMs += ms;
    this.#monotonicMs += ms;
  }

  jump(ms: number): void {
    this.#wallMs += ms;
  }

  /** Another boot: the monotonic clock begins again. */
  reboot(): void {
    this.bootId = (++this.#boots).toString(16).padStart(16, 'b');
    this.#monotonicMs = 1_000;
  }
}
