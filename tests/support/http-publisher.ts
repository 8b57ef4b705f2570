import { setTimeout as delay } from 'node:timers/promises';

export interface HttpPublisherOptions {
  /** Of the hub's API, the same after every restart. */
  readonly url: string;
  readonly name: string;
  /** Events of one request. */
  readonly batch: number;
}

const RETRY_MS = 30;
/** A hub that was killed answers nothing; one that hangs is a failure of the test. */
const REQUEST_TIMEOUT_MS = 10_000;

/**
 * Posts batches of numbered CloudEvents one after the other, each until it is acknowledged: then
 * the hub is bound to deliver them.
 */
export class HttpPublisher {
  readonly topic: string;
  readonly acknowledged = new Set<number>();
  /** Of batches that were sent more than once: these may be in the log twice. */
  readonly retried = new Set<number>();
  readonly #options: HttpPublisherOptions;
  #next = 0;
  #ending = false;

  constructor(options: HttpPublisherOptions) {
    this.#options = options;
    this.topic = `site/a/${options.name}/temp`;
  }

  /** No new batches; `run` ends with the last acknowledgement. */
  finish(): void {
    this.#ending = true;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!this.#ending && !signal.aborted) {
      const numbers = Array.from({ length: this.#options.batch }, () => this.#next++);
      while (!(await this.#post(numbers, signal)) && !signal.aborted) {
        for (const n of numbers) this.retried.add(n);
        await delay(RETRY_MS);
      }
      if (!signal.aborted) for (const n of numbers) this.acknowledged.add(n);
    }
  }

  async #post(numbers: readonly number[], signal: AbortSignal): Promise<boolean> {
    const events = numbers.map((n) => ({
      ...{ specversion: '1.0', id: String(n), source: '/test', type: 'test' },
      subject: this.topic,
      data: { v: n / 10, n },
    }));
    try {
      const answer = await fetch(`${this.#options.url}/api/v1/events`, {
        method: 'POST',
        headers: { 'content-type': 'application/cloudevents-batch+json' },
        body: JSON.stringify(events),
        signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
      });
      await answer.arrayBuffer();
      return answer.status === 204;
    } catch {
      return false;
    }
  }
}
