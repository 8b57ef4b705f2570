import { describeError, HubError } from '../../hub/core/errors.ts';
import type { Line } from './line.ts';

export interface LineEvents {
  receive(bytes: Buffer): void;
  /** What is under way gets no answer any more. Called once. */
  ended(error: HubError): void;
}

/** A line until its end, which comes once, from wherever it is noticed first. */
export class LineWatch {
  /** Rejects with HubError BRIDGE_LOST when the line is lost; resolves when it was closed. */
  readonly lost: Promise<void>;
  readonly #line: Line;
  readonly #advice: string;
  readonly #events: LineEvents;
  #failure: HubError | undefined;
  #end: (error?: HubError) => void = () => {};

  /** `advice`: what to check when the line is lost. */
  constructor(line: Line, advice: string, events: LineEvents) {
    this.#line = line;
    this.#advice = advice;
    this.#events = events;
    this.lost = new Promise((resolve, reject) => {
      this.#end = (error) => (error ? reject(error) : resolve());
    });
    this.lost.catch(() => {}); // whoever waits is told; nobody has to
    line.stream.on('data', (bytes: Buffer) => events.receive(bytes));
    line.stream.on('error', (error) => this.lose(describeError(error)));
    line.stream.on('close', () => this.lose('it was closed'));
    line.stream.on('end', () => this.lose('the far side closed the connection'));
  }

  /** Why nothing can be asked any more. */
  get failure(): HubError | undefined {
    return this.#failure;
  }

  lose(why: string): void {
    this.#over(why, false);
  }

  close(): void {
    this.#over('closed', true);
  }

  #over(why: string, isWanted: boolean): void {
    if (this.#failure) return;
    const { name, stream, retryAfterMs } = this.#line;
    const text = `${name}: ${why}; ${this.#advice}; it is opened again by itself`;
    const error = new HubError(
      'BRIDGE_LOST',
      text,
      retryAfterMs === undefined ? {} : { retryAfterMs },
    );
    this.#failure = error;
    this.#events.ended(error);
    this.#end(isWanted ? undefined : error);
    stream.destroy();
  }
}
