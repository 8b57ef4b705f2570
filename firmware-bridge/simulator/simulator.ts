import { setTimeout as delay } from 'node:timers/promises';
import type { Bridge, BridgeContext } from '../../hub/core/bridge.ts';
import { seededRandom } from './seeded-random.ts';
import { SimulatedSite } from './simulated-site.ts';
import type { SimulatorOptions } from './spec.ts';

/**
 * Simulated sensors. There is no hardware to lose: `run` resolves when the signal aborts and throws
 * only what `accept` throws. A round waits until the one before it is durable.
 */
export class SimulatorBridge implements Bridge {
  readonly #options: SimulatorOptions;

  constructor(options: SimulatorOptions) {
    this.#options = options;
  }

  async run(context: BridgeContext, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { interval_ms: intervalMs, seed } = this.#options;
    const random = seed === undefined ? context.random : seededRandom(seed);
    const site = new SimulatedSite(this.#options, random);
    context.connected();
    while (!signal.aborted) {
      const startedMs = context.clock.monotonicMs();
      const messages = site.round(context.clock.wallMs());
      await settledOrAborted(Promise.all(messages.map((m) => context.accept(m))), signal);
      const spentMs = context.clock.monotonicMs() - startedMs;
      await delayOrAborted(Math.max(0, intervalMs - spentMs), signal);
    }
  }
}

/** A full log can hold `work` back for hours; stopping does not wait for it. */
function settledOrAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve();
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    const settle = (settled: () => void) => {
      signal.removeEventListener('abort', onAbort);
      settled();
    };
    work.then(
      () => settle(resolve),
      (error) => settle(() => reject(error)),
    );
  });
}

async function delayOrAborted(delayMs: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(delayMs, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
