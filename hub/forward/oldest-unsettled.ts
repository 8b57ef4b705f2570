import { type HubEvent, LANES, type Lane } from '../core/event.ts';
import type { DurableLog } from '../log/durable-log.ts';
import type { Run } from './batcher.ts';

type Arrival = Pick<HubEvent, 'bootId' | 'monotonicMs'>;

/**
 * How long the oldest event that a sink has not settled has waited. The forwarder tells what passes
 * by; for a sink that has not read anything, because it cannot connect, the log is asked.
 */
export class OldestUnsettled {
  readonly #log: DurableLog;
  readonly #position: (lane: Lane) => number;
  /** What the event at `offset` arrived with, or the one before it. */
  readonly #known = new Map<Lane, { readonly offset: number; readonly arrival: Arrival }>();
  readonly #looking = new Set<Lane>();

  /** `position` is the sink's cursor. */
  constructor(log: DurableLog, position: (lane: Lane) => number) {
    this.#log = log;
    this.#position = position;
  }

  /** A run is settled. In a backlog the event after it is hardly younger than its last one. */
  settled({ lane, to, events }: Run): void {
    const arrival = events.at(-1);
    if (arrival && this.#log.range(lane).tail > to) this.#known.set(lane, { offset: to, arrival });
    else this.#known.delete(lane);
  }

  /** In ms; 0 when nothing waits. A lane that has to be looked at first counts the next time. */
  ageMs(): number {
    let ageMs = 0;
    for (const lane of LANES) {
      const offset = this.#position(lane);
      if (offset >= this.#log.range(lane).tail) continue;
      const known = this.#known.get(lane);
      if (known?.offset === offset) ageMs = Math.max(ageMs, this.#log.boots.ageMs(known.arrival));
      else void this.#look(lane, offset);
    }
    return ageMs;
  }

  async #look(lane: Lane, offset: number): Promise<void> {
    if (this.#looking.has(lane)) return;
    this.#looking.add(lane);
    try {
      const [block] = await this.#log.read(lane, offset, 1);
      if (!block || this.#position(lane) !== offset) return;
      const arrival = block.eventAt(Math.min(block.indexFrom(offset), block.count - 1));
      this.#known.set(lane, { offset, arrival });
    } catch {
      // a log that cannot be read is reported by whoever has to read it
    } finally {
      this.#looking.delete(lane);
    }
  }
}
