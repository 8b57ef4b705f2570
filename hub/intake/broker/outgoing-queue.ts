import type { BrokerPacket } from './stored-packet.ts';

/** A packet for a persistent session, and its place in the store. */
export interface QueuedPacket {
  packet: BrokerPacket;
  readonly number: number;
}

/**
 * What one persistent session still has to get, in order. Found by the broker's number of the packet
 * until it has a message id, and by that afterwards.
 */
export class OutgoingQueue {
  readonly #packets = new Map<number, QueuedPacket>();
  readonly #byBroker = new Map<string, QueuedPacket>();
  readonly #byMessageId = new Map<number, QueuedPacket>();

  get size(): number {
    return this.#packets.size;
  }

  packets(): BrokerPacket[] {
    return [...this.#packets.values()].map(({ packet }) => packet);
  }

  entries(): Iterable<QueuedPacket> {
    return this.#packets.values();
  }

  add(packet: BrokerPacket, number: number): void {
    const queued = { packet, number };
    this.#packets.set(number, queued);
    this.#index(queued);
  }

  /** Gives the packet its message id, or replaces a publish by the PUBREL that follows it. */
  update(packet: BrokerPacket): QueuedPacket | undefined {
    const queued = packet.brokerId
      ? this.#byBroker.get(brokerKey(packet))
      : this.#byMessageId.get(packet.messageId ?? 0);
    if (!queued) return undefined;
    if (packet.brokerId) {
      queued.packet.messageId = packet.messageId;
    } else {
      this.#byBroker.delete(brokerKey(queued.packet));
      queued.packet = packet;
    }
    this.#index(queued);
    return queued;
  }

  remove(messageId: number): QueuedPacket | undefined {
    const queued = this.#byMessageId.get(messageId);
    if (!queued) return undefined;
    this.#byMessageId.delete(messageId);
    this.#packets.delete(queued.number);
    this.#byBroker.delete(brokerKey(queued.packet));
    return queued;
  }

  #index(queued: QueuedPacket): void {
    if (queued.packet.brokerId) this.#byBroker.set(brokerKey(queued.packet), queued);
    if (queued.packet.messageId) this.#byMessageId.set(queued.packet.messageId, queued);
  }
}

function brokerKey({ brokerId, brokerCounter }: BrokerPacket): string {
  return `${brokerId}:${brokerCounter}`;
}
