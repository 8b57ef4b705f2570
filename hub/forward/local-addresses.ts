import { networkInterfaces } from 'node:os';
import type { Schedule } from './schedule.ts';

const LOOK_EVERY_MS = 1_000;
/** Addresses that come and go with every container or lease: a retry in this time is enough. */
const NEWS_EVERY_MS = 5_000;

/** The addresses by which others can reach this machine, or it them. */
export function localAddresses(): ReadonlySet<string> {
  const found = new Set<string>();
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address, internal } of addresses ?? []) {
      if (!internal && !/^(fe[89ab]|169\.254\.)/i.test(address)) found.add(address);
    }
  }
  return found;
}

/**
 * Notices a new address of this machine: a cable that was plugged in, a modem that has dialled.
 * Costs no traffic. Looks only between `start` and `stop`.
 */
export class AddressWatch {
  readonly #schedule: Schedule;
  readonly #look: () => ReadonlySet<string>;
  readonly #changed: () => void;
  #known: ReadonlySet<string> = new Set();
  #toldMs = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | undefined;

  constructor(schedule: Schedule, look: () => ReadonlySet<string>, changed: () => void) {
    this.#schedule = schedule;
    this.#look = look;
    this.#changed = changed;
  }

  start(): void {
    if (this.#cancel) return;
    this.#known = this.#look();
    this.#plan();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #plan(): void {
    this.#cancel = this.#schedule.after(LOOK_EVERY_MS, () => {
      this.#plan();
      this.#compare();
    });
  }

  #compare(): void {
    const now = this.#look();
    const hasNew = [...now].some((address) => !this.#known.has(address));
    const nowMs = this.#schedule.nowMs();
    if (hasNew && nowMs - this.#toldMs < NEWS_EVERY_MS) return; // seen again at the next look
    this.#known = now;
    if (!hasNew) return;
    this.#toldMs = nowMs;
    this.#changed();
  }
}
