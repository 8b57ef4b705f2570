import type { Clock } from '../../hub/core/clock.ts';

/**
 * A clock that stands still until it is moved. `advance` moves both; `jump` only the wall
 * clock.
 */
export class FakeClock implements Clock {
  #wallMs = Date.UTC(2026, 0, 1);
  #monotonicMs = 1_000_000;
  isSynced = true;
  bootId = '0123456789abcdef';

  wallMs(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  synced(): boolean {
    return this.isSynced;
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
    this.bootId = (BigInt(`0x${this.bootId}`) ^ 0xffffn).toString(16).padStart(16, '0');
    this.#monotonicMs = 1_000;
  }
}
