import type { HubError } from '../core/errors.ts';
import type { EventKind, Lane } from '../core/event.ts';
import { remembering } from '../core/remembered.ts';
import { REMEMBERED_TOPIC_CHARS_MAX, REMEMBERED_TOPICS_MAX, topicMatcher } from '../core/topic.ts';
import type { IncomingTrace, IntakeTracing } from '../core/trace.ts';
import type { DurableLog } from '../log/durable-log.ts';
import type { WriteOperation } from '../log/storage/storage.ts';

/** Bytes waiting for the card from which on publishers are held up, whatever their QoS. */
const CONGESTED_BYTES = 2 * 1024 * 1024;

export interface LaneFilters {
  readonly alarm: readonly string[];
  readonly bulk: readonly string[];
}

/** How many events and bytes came from one source into one lane. */
export interface IntakeCount {
  readonly source: string;
  readonly lane: Lane;
  events: number;
  bytes: number;
}

/** What one input uses to hand over its messages. */
export interface IntakePort {
  /** `done` runs when the event is on stable storage, with what else was to be written with it. */
  accept(
    topic: string,
    payload: Buffer,
    done: (error?: HubError) => void,
    operations?: readonly WriteOperation[],
    kind?: EventKind,
    trace?: IncomingTrace,
  ): void;
}

/** The one way into the log for every input: chooses the lane and counts. */
export class Intake {
  readonly #log: DurableLog;
  readonly #tracing: IntakeTracing | undefined;
  readonly #laneOf: (topic: string) => Lane;
  readonly #counts: IntakeCount[] = [];

  constructor(log: DurableLog, lanes: LaneFilters, tracing?: IntakeTracing) {
    this.#log = log;
    this.#tracing = tracing;
    const isAlarm = topicMatcher(lanes.alarm);
    const isBulk = topicMatcher(lanes.bulk);
    this.#laneOf = remembering(REMEMBERED_TOPICS_MAX, REMEMBERED_TOPIC_CHARS_MAX, (topic) => {
      if (isAlarm(topic)) return 'alarm';
      return isBulk(topic) ? 'bulk' : 'normal';
    });
  }

  /** A port for `source`: `mqtt`, `http` or a bridge of the configuration, so there are few. */
  port(source: string): IntakePort {
    const counts: Record<Lane, IntakeCount> = {
      alarm: { source, lane: 'alarm', events: 0, bytes: 0 },
      normal: { source, lane: 'normal', events: 0, bytes: 0 },
      bulk: { source, lane: 'bulk', events: 0, bytes: 0 },
    };
    this.#counts.push(...Object.values(counts));
    return {
      accept: (topic, payload, done, operations, kind = 'message', incoming) => {
        const lane = this.#laneOf(topic);
        const count = counts[lane];
        count.events++;
        count.bytes += payload.length;
        const followed = this.#tracing?.arrived(source, topic, payload.length, incoming);
        if (followed === undefined) {
          const message = { topic, payload, source, kind, trace: incoming };
          this.#log.append(message, lane, done, operations);
          return;
        }
        const { trace } = followed;
        const told = (error?: HubError) => {
          followed.accepted(error);
          done(error);
        };
        this.#log.append({ topic, payload, source, kind, trace }, lane, told, operations);
      },
    };
  }

  /** Writes state that has no event. */
  write(operations: readonly WriteOperation[], done: (error?: HubError) => void): void {
    this.#log.write(operations, done);
  }

  /** Whether an input should hold back what it has for `topic`. */
  congested(topic: string): boolean {
    return this.#log.mustWait(this.#laneOf(topic)) || this.#log.pendingBytes > CONGESTED_BYTES;
  }

  counts(): readonly Readonly<IntakeCount>[] {
    return this.#counts;
  }
}
