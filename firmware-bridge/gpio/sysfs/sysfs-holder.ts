import type { HubError } from '../../../hub/core/errors.ts';
import type { Holder, HoldRequest } from '../backend.ts';
import type { SysfsGpio } from './onoff.ts';

/** Holds one output by sysfs, which keeps its level until it is given back. */
export class SysfsHolder implements Holder {
  readonly ended: Promise<HubError>;
  #end: (why: HubError) => void = () => {};
  readonly #line: SysfsGpio;
  readonly #request: HoldRequest;
  readonly #explain: (error: unknown) => HubError;
  /** Writes of a file take effect in the order in which they end. */
  #turn: Promise<void> = Promise.resolve();
  #pulse: NodeJS.Timeout | undefined;
  #isReleased = false;

  constructor(line: SysfsGpio, request: HoldRequest, explain: (error: unknown) => HubError) {
    this.#line = line;
    this.#request = request;
    this.#explain = explain;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  set(active: boolean): Promise<void> {
    clearTimeout(this.#pulse);
    return this.#write(active);
  }

  async pulse(durationMs: number): Promise<void> {
    await this.set(true);
    this.#pulse = setTimeout(() => {
      this.#write(false).then(this.#request.pulseEnded, () => {});
    }, durationMs);
  }

  async release(active: boolean | 'keep'): Promise<void> {
    if (this.#isReleased) return;
    clearTimeout(this.#pulse);
    if (active !== 'keep') await this.#write(active).catch(() => {});
    this.#isReleased = true;
    // given back, most kernels make an input of it
    if (active !== 'keep') this.#line.unexport();
  }

  #write(active: boolean): Promise<void> {
    const turn = this.#turn.then(() => this.#writeNow(active));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #writeNow(active: boolean): Promise<void> {
    if (this.#isReleased) return;
    try {
      await this.#line.write(active ? 1 : 0);
    } catch (error) {
      const why = this.#explain(error);
      this.#end(why);
      throw why;
    }
  }
}
