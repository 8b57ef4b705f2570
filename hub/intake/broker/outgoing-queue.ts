import { type BrokerPacket, sizeOf } from './stored-packet.ts';

/** A packet for a persistent session, and its place in the store. */
export interface QueuedPacket {
  packet: BrokerPacket;
  readonly number: number;
}

const MESSAGE_ID_MAX = 65_535;

/**
 * What one persistent session still has to get, in order. Found by the broker's number of the
 * packet until it has a message id, and by that afterwards.
 */
export class OutgoingQueue {
  readonly #packets = new Map<number, QueuedPacket>();
  readonly #byBroker = new Map<string, QueuedPacket>();
  readonly #byMessageId = new Map<number, QueuedPacket>();
  #bytes = 0;

  get size(): number {
    return this.#packets.size;
  }

  /** Bytes of topics and payloads. */
  get bytes(): number {
    return this.#bytes;
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
    this.#bytes += sizeOf(packet);
    this.#index(queued);
  }

  /** Gives the packet its message id, or replaces a publish by the PUBREL that follows it. */
  update(packet: BrokerPacket): QueuedPacket | undefined {
    return packet.cmd === 'pubrel' ? this.#release(packet) : this.#send(packet);
  }

  remove(messageId: number): QueuedPacket | undefined {
    const queued = this.#byMessageId.get(messageId);
    if (!queued) return undefined;
    this.#byMessageId.delete(messageId);
    this.#packets.delete(queued.number);
    this.#bytes -= sizeOf(queued.packet);
    this.#byBroker.delete(brokerKey(queued.packet));
    return queued;
  }

  /** `packet` is about to be sent. */
  #send(packet: BrokerPacket): QueuedPacket | undefined {
    const queued = this.#byBroker.get(brokerKey(packet));
    if (!queued) return undefined;
    if (queued.packet.messageId) this.#byMessageId.delete(queued.packet.messageId);
    // aedes counts ids up and does not look which ones are still in use from an earlier connection
    let messageId = packet.messageId ?? 1;
    while (this.#byMessageId.has(messageId)) messageId = (messageId % MESSAGE_ID_MAX) + 1;
    packet.messageId = messageId;
    queued.packet.messageId = messageId;
    queued.packet.dup = true; // from the next time on [MQTT-3.3.1-1]
    this.#index(queued);
    return queued;
  }

  #release(packet: BrokerPacket): QueuedPacket | undefined {
    const queued = this.#byMessageId.get(packet.messageId ?? 0);
    if (!queued || queued.packet.cmd === 'pubrel') return queued;
    this.#byBroker.delete(brokerKey(queued.packet));
    this.#bytes += sizeOf(packet) - sizeOf(queued.packet);
    queued.packet = packet;
    return queued;
  }

  #index(queued: QueuedPacket): void {
    const { packet } = queued;
    if (packet.cmd === 'publish') this.#byBroker.set(brokerKey(packet), queued);
    if (packet.messageId) this.#byMessageId.set(packet.messageId, queued);
  }
}

function brokerKey({ brokerId, brokerCounter }: BrokerPacket): string {
  return `${brokerId}:${brokerCounter}`;
}
