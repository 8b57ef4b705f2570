/**
 * What a subscriber gets of a message that matches its subscriptions: one copy, with the greatest
 * QoS it was granted for it [MQTT-3.3.5-1].
 */
import type { AedesPublishPacket, Client } from 'aedes';
import { topicMatches } from '../../core/topic.ts';

/** Takes whatever is written into it and remembers nothing. */
const FORGETFUL = new Proxy({}, { get: () => 0, set: () => true });

export class Forwarding {
  readonly #lastNumber = new WeakMap<Client, number>();

  /**
   * aedes keeps the greatest number forwarded and takes every smaller one for a duplicate. But a
   * message that waits, for a queue to be written or for a retained one to be kept, is overtaken by
   * later ones, and would then be lost. So that memory is replaced by one of the last number: all
   * subscriptions of a client get the same message in the same turn.
   */
  join(client: Client): void {
    Object.assign(client, { duplicates: FORGETFUL });
  }

  /** The packet as the client is to get it; null when it has got it already. */
  forward(client: Client, packet: AedesPublishPacket): AedesPublishPacket | null {
    const isQueued = packet.messageId !== undefined; // from the queue of a persistent session
    if (!isQueued && packet.brokerId) {
      if (this.#lastNumber.get(client) === packet.brokerCounter) return null;
      this.#lastNumber.set(client, packet.brokerCounter);
      packet.dup = false; // that of the publisher is none of the subscriber's [MQTT-3.3.1-3]
    }
    if (packet.qos > 0) {
      const granted = grantedQos(client, packet.topic);
      // a queued one is acknowledged, or it would be queued for ever
      const most = isQueued && granted === 0 ? 1 : granted;
      if (packet.qos > most) packet.qos = most;
    }
    return packet;
  }
}

function grantedQos(client: Client, topic: string): 0 | 1 | 2 {
  const subscriptions: Record<string, { readonly qos: 0 | 1 | 2 }> = Reflect.get(
    client,
    'subscriptions',
  );
  let granted: 0 | 1 | 2 = 0;
  for (const [filter, { qos }] of Object.entries(subscriptions)) {
    if (qos > granted && topicMatches(filter, topic)) granted = qos;
  }
  return granted;
}
