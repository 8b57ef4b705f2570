import type { CommandOrder, CommandOutcome } from '../core/command.ts';

/** What of the broker is needed. */
export interface CommandBroker {
  /** To all subscribers, QoS 1. Resolves when sessions that are away have it durably. */
  publish(topic: string, payload: Buffer): Promise<void>;
  /** What clients publish from now on, until the returned function is called. */
  listen(filter: string, listener: (topic: string, payload: Buffer) => void): () => void;
}

export interface MqttCommandEvents {
  sent(id: string): Promise<void>;
  ended(id: string, outcome: CommandOutcome): Promise<void>;
  /** Its answer is not waited for any more. */
  unanswered(id: string): void;
}

/** Most devices never answer: this many wait for it at once, and the oldest for no longer. */
const AWAITED_MAX = 256;

const RESULTS = 'cmd/+/+/result';

/** A device and a command, as they stand in a topic. */
type Place = Pick<CommandOrder, 'id' | 'device' | 'name'>;

/**
 * Commands over MQTT: published to `cmd/<device>/<name>`; a message on
 * `cmd/<device>/<name>/result` ends the oldest one that waits there.
 */
export class MqttCommands {
  readonly #broker: CommandBroker;
  readonly #events: MqttCommandEvents;
  /** In the order in which they were sent. */
  readonly #awaited = new Map<string, Place>();
  #stopListening: (() => void) | undefined;

  constructor(broker: CommandBroker, events: MqttCommandEvents) {
    this.#broker = broker;
    this.#events = events;
  }

  /** An answer may still come. */
  await({ id, device, name }: Place): void {
    const [oldest] = this.#awaited.size >= AWAITED_MAX ? this.#awaited.keys() : [];
    if (oldest !== undefined) {
      this.#awaited.delete(oldest);
      this.#events.unanswered(oldest);
    }
    this.#awaited.set(id, { id, device, name });
    // only while it is needed: without subscribers the broker has nothing to match
    this.#stopListening ??= this.#broker.listen(RESULTS, (topic, payload) =>
      this.#result(topic, payload),
    );
  }

  async send({ id, device, name, payload }: CommandOrder, place: Place): Promise<void> {
    this.await(place);
    try {
      await this.#broker.publish(`cmd/${device}/${name}`, payload);
    } catch (error) {
      this.forget(id);
      throw error;
    }
    if (this.#awaited.has(id)) await this.#events.sent(id); // else the answer was faster
  }

  forget(id: string): void {
    this.#awaited.delete(id);
    if (this.#awaited.size === 0) this.close();
  }

  close(): void {
    this.#stopListening?.();
    this.#stopListening = undefined;
  }

  #result(topic: string, payload: Buffer): void {
    const [, device, name] = topic.split('/');
    for (const place of this.#awaited.values()) {
      if (place.device !== device || place.name !== name) continue;
      this.forget(place.id);
      void this.#events.ended(place.id, outcomeOf(payload));
      return;
    }
  }
}

/** `{"error": ...}` is a failure; anything else is done. */
function outcomeOf(payload: Buffer): CommandOutcome {
  const answer = Buffer.from(payload);
  try {
    const value: unknown = JSON.parse(payload.toString());
    const error = typeof value === 'object' && value !== null ? Reflect.get(value, 'error') : null;
    if (error !== undefined && error !== null && error !== false) {
      const detail = typeof error === 'string' ? error : JSON.stringify(error);
      return { state: 'failed', detail, answer };
    }
  } catch {
    // no JSON: an answer in words of its own
  }
  return { state: 'done', answer };
}
