// The class is exported by the package but its types are not.
declare module 'aedes-persistence/asyncPersistence.js' {
  import type { Readable } from 'node:stream';
  import type { BrokerPacket } from './stored-packet.ts';

  interface ClientId {
    readonly id: string;
  }
  interface Subscription {
    readonly topic: string;
    readonly qos: 0 | 1 | 2;
  }

  export default class MemoryPersistence {
    setup(broker: ClientId): Promise<void>;
    storeRetained(packet: BrokerPacket): Promise<void>;
    addSubscriptions(client: ClientId, subscriptions: readonly Subscription[]): Promise<void>;
    removeSubscriptions(client: ClientId, topics: readonly string[]): Promise<void>;
    subscriptionsByTopic(topic: string): Promise<readonly { clientId: string }[]>;
    cleanSubscriptions(client: ClientId): Promise<void>;
    outgoingEnqueue(session: { clientId: string }, packet: BrokerPacket): Promise<void>;
    outgoingEnqueueCombi(
      sessions: readonly { clientId: string }[],
      packet: BrokerPacket,
    ): Promise<void>;
    outgoingUpdate(client: ClientId, packet: BrokerPacket): Promise<void>;
    outgoingClearMessageId(
      client: ClientId,
      packet: { readonly messageId?: number | undefined },
    ): Promise<BrokerPacket | undefined>;
    outgoingStream(client: ClientId): Readable;
    incomingStorePacket(
      client: ClientId & { readonly clean: boolean },
      packet: BrokerPacket,
    ): Promise<void>;
    /** `packet` is a PUBLISH, or a PUBREL, which has only its message id. */
    incomingGetPacket(client: ClientId, packet: Partial<BrokerPacket>): Promise<object>;
    incomingDelPacket(
      client: ClientId,
      packet: { readonly messageId?: number | undefined },
    ): Promise<void>;
    cleanIncoming(client: ClientId): Promise<void>;
    putWill(client: ClientId, packet: BrokerPacket): Promise<void>;
    delWill(client: ClientId): Promise<BrokerPacket | undefined>;
  }
}
