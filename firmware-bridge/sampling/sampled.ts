/**
 * One sensor and what is known of it. Invariant: while a reading of it has not returned, no other
 * is begun, so a sensor that hangs costs one thread of the system and no more.
 */
import { describeError } from '../../hub/core/errors.ts';
import { hangingAttributes } from './attribute.ts';
import type { SourceName } from './messages.ts';
import type { Source } from './schedule.ts';
import type { Reading, Sample, Sensor } from './sensor.ts';
import { SourceHealth } from './source-health.ts';
import type { After } from './timer.ts';

/** A sensor does not answer late, as a slave on a bus may: it is asked again soon. */
const PAUSE_MS_MAX = 1_000;

export type Answer =
  | { readonly is: 'sample'; readonly sample: Sample }
  | { readonly is: 'failed'; readonly why: string }
  | { readonly is: 'stopped' };

export class Sampled implements Source {
  readonly sensor: Sensor;
  readonly health: SourceHealth;
  /** Of its last sample. */
  problems: readonly string[] = [];
  /** The reading that has not returned. Never rejects. */
  #underWay: Promise<void> | undefined;
  #hangs = false;

  constructor(sensor: Sensor) {
    this.sensor = sensor;
    this.health = new SourceHealth(sensor.pauseMs ?? Math.min(sensor.timeoutMs, PAUSE_MS_MAX));
  }

  get identity(): SourceName {
    return { device: this.sensor.device, ...this.sensor.identity };
  }

  /** Reads it, within its time and until the signal aborts. Never rejects. */
  async ask(signal: AbortSignal, badFrames: Reading['badFrames'], after: After): Promise<Answer> {
    const { timeoutMs } = this.sensor;
    if (this.#hangs) return { is: 'failed', why: `its last reading hangs${elsewhere()}` };
    const given = new AbortController();
    const work = this.#begin({ signal: given.signal, badFrames });
    const ended = new Promise<Answer>((resolve) => {
      const cancel = after(timeoutMs, () => {
        this.#hangs = this.#underWay !== undefined;
        end({ is: 'failed', why: `no answer in ${timeoutMs} ms${elsewhere()}` });
      });
      const end = (answer: Answer) => {
        cancel();
        signal.removeEventListener('abort', stop);
        given.abort();
        resolve(answer);
      };
      const stop = () => end({ is: 'stopped' });
      signal.addEventListener('abort', stop, { once: true });
      void work.then(end);
      if (signal.aborted) stop();
    });
    return await ended;
  }

  #begin(reading: Reading): Promise<Answer> {
    const work = this.#readAfter(this.#underWay, reading);
    const underWay = work.then(() => {
      if (this.#underWay !== underWay) return;
      this.#underWay = undefined;
      this.#hangs = false;
    });
    this.#underWay = underWay;
    return work;
  }

  async #readAfter(before: Promise<void> | undefined, reading: Reading): Promise<Answer> {
    await before;
    if (reading.signal.aborted) return { is: 'stopped' };
    try {
      return { is: 'sample', sample: await this.sensor.read(reading) };
    } catch (error) {
      return { is: 'failed', why: describeError(error) };
    }
  }
}

function elsewhere(): string {
  const hanging = hangingAttributes();
  return hanging.length === 0 ? '' : `; the kernel does not return from ${hanging.join(', ')}`;
}
