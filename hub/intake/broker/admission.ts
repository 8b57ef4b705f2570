/**
 * Holds publishes back while the log cannot take them.
 *
 * Invariants:
 * - the publishes of one client go on in the order of their arrival;
 * - a client that has something held is not read: what is held of it is at most one chunk of its
 *   socket;
 * - what is held goes when its client goes. A client that gets no PUBACK comes back and publishes
 *   the same again: in the log's own queue, which cannot be taken back, that would fill memory.
 */

/** Room is looked for at each commit; without traffic there is none, and this looks instead. */
const LOOK_INTERVAL_MS = 250;

interface Held {
  readonly topic: string;
  go(): void;
  gone(): void;
}

export class Admission {
  readonly #held = new Map<object, Held[]>();
  readonly #congested: (topic: string) => boolean;
  readonly #released: (client: object) => void;
  #timer: NodeJS.Timeout | undefined;

  /**
   * `congested` tells whether the log is to be given nothing more for a topic for now; `released`
   * hears of each client that has nothing held any more.
   */
  constructor(congested: (topic: string) => boolean, released: (client: object) => void) {
    this.#congested = congested;
    this.#released = released;
  }

  /** Whether a publish of `client` has to be held. */
  mustHold(client: object, topic: string): boolean {
    return this.#congested(topic) || this.holds(client);
  }

  /** Clients of which something is held. */
  get clients(): number {
    return this.#held.size;
  }

  /** Whether something of `client` is held. */
  holds(client: object): boolean {
    return this.#held.size > 0 && this.#held.has(client);
  }

  /** Runs `go` when there is room, or `gone` when the client has left before. */
  hold(client: object, topic: string, go: () => void, gone: () => void): void {
    const held = this.#held.get(client);
    if (held) held.push({ topic, go, gone });
    else this.#held.set(client, [{ topic, go, gone }]);
    this.#timer ??= setInterval(() => this.release(), LOOK_INTERVAL_MS);
  }

  /** Lets go on what there is room for. One client's topic may wait while another's may go on. */
  release(): void {
    for (const [client, held] of this.#held) {
      let count = 0;
      for (const { topic, go } of held) {
        if (this.#congested(topic)) break;
        count++;
        go();
      }
      held.splice(0, count);
      if (held.length > 0) continue;
      this.#held.delete(client);
      this.#released(client);
    }
    this.#rest();
  }

  /** Forgets what is held of a client. */
  leave(client: object): void {
    const held = this.#held.get(client);
    if (!held) return;
    this.#held.delete(client);
    for (const { gone } of held) gone();
    this.#rest();
  }

  #rest(): void {
    if (this.#held.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
