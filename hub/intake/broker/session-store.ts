/**
 * What the broker must remember across restarts: sessions' subscriptions, retained messages, queues
 * of absent clients, wills, and which QoS 2 messages were already accepted.
 *
 * Invariants:
 * - a QoS 2 message and the mark that it was accepted are one write, before PUBREC: a re-sent one is
 *   stored once, whenever the power goes;
 * - the mark is gone for good before PUBCOMP, because the client may then use the id for something
 *   new, which an old mark would swallow;
 * - SUBACK follows the write of the subscription;
 * - memory holds a copy of everything and answers every question; the log is read only at start;
 * - every map is bounded: sessions, packets a session, retained messages.
 */
import { Readable } from 'node:stream';
import MemoryPersistence from 'aedes-persistence/asyncPersistence.js';
import { sessionKey } from '../../log/keys.ts';
import type { Entry, WriteOperation } from '../../log/storage.ts';
import { OutgoingQueue } from './outgoing-queue.ts';
import { type BrokerPacket, parsePacket, serializePacket } from './stored-packet.ts';

const RETAINED = 'r';
const SUBSCRIPTION = 'u';
const OUTGOING = 'o';
const INCOMING = 'i';
const WILL = 'w';
const NUMBER_DIGITS = 16;

export interface SessionLimits {
  readonly sessionsMax: number;
  readonly sessionQueueEventsMax: number;
  readonly retainedMessagesMax: number;
}

export interface SessionStoreOptions {
  readonly limits: SessionLimits;
  entries(): AsyncIterable<Entry>;
  /** Durable when it resolves. */
  write(operations: readonly WriteOperation[]): Promise<void>;
  /** Written with something else, or within a second: for what is harmless to forget. */
  defer(operations: readonly WriteOperation[]): void;
  /** Accepts a QoS 2 publish together with `operations`. */
  accept(packet: BrokerPacket, operations: readonly WriteOperation[]): Promise<void>;
  refused(reason: string): void;
}

interface ClientId {
  readonly id: string;
}
interface Subscription {
  readonly topic: string;
  readonly qos: 0 | 1 | 2;
}
interface MessageId {
  readonly messageId?: number | undefined;
}

/** A publish whose retain flag is taken away when there is no room for it. */
export interface Retainable {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  retain: boolean;
}

/** One object for every miss: this is the normal answer for each new QoS 2 message. */
const NOT_STORED = new Error('no such packet');
const NOBODY: Promise<readonly { clientId: string }[]> = Promise.resolve([]);
const NOTHING_TO_DO = Promise.resolve();

export class SessionStore extends MemoryPersistence {
  readonly #options: SessionStoreOptions;
  readonly #outgoing = new Map<string, OutgoingQueue>();
  readonly #incoming = new Map<string, Map<number, Promise<void>>>();
  readonly #retainedTopics = new Set<string>();
  readonly #sessions = new Map<string, Set<string>>();
  #nextNumber = 0;

  constructor(options: SessionStoreOptions) {
    super();
    this.#options = options;
  }

  override async setup(broker: { readonly id: string }): Promise<void> {
    await super.setup(broker);
    for await (const [key, value] of this.#options.entries()) await this.#load(key, value);
  }

  /** What must be written with a retained message, and whether there is room to retain it. */
  retainOperations(packet: Retainable): WriteOperation[] | undefined {
    if (!packet.retain) return undefined;
    const key = sessionKey(RETAINED, packet.topic);
    if (packet.payload.length === 0) return [{ type: 'del', key }];
    const known = this.#retainedTopics.has(packet.topic);
    if (!known && this.#retainedTopics.size >= this.#options.limits.retainedMessagesMax) {
      this.#options.refused('retained_limit');
      packet.retain = false; // it is passed on like any other
      return undefined;
    }
    this.#retainedTopics.add(packet.topic);
    const value = serializePacket({ ...packet, cmd: 'publish' });
    return [{ type: 'put', key, value }];
  }

  /** The write went with the event (`retainOperations`); here only memory follows. */
  override async storeRetained(packet: BrokerPacket): Promise<void> {
    if (packet.payload.length === 0) this.#retainedTopics.delete(packet.topic);
    await super.storeRetained(packet);
  }

  override async addSubscriptions(client: ClientId, subscriptions: readonly Subscription[]): Promise<void> {
    let topics = this.#sessions.get(client.id);
    if (!topics) {
      if (this.#sessions.size >= this.#options.limits.sessionsMax) {
        this.#options.refused('session_limit');
        throw new Error('too many persistent sessions');
      }
      topics = new Set();
      this.#sessions.set(client.id, topics);
    }
    await super.addSubscriptions(client, subscriptions);
    const operations = subscriptions.map((subscription): WriteOperation => {
      topics.add(subscription.topic);
      const key = sessionKey(SUBSCRIPTION, client.id, subscription.topic);
      return { type: 'put', key, value: Buffer.from(JSON.stringify(subscription)) };
    });
    await this.#options.write(operations);
  }

  override async removeSubscriptions(client: ClientId, topics: readonly string[]): Promise<void> {
    await super.removeSubscriptions(client, topics);
    const stored = this.#sessions.get(client.id);
    const removed = topics.filter((topic) => stored?.delete(topic));
    if (removed.length === 0) return;
    if (stored?.size === 0) this.#sessions.delete(client.id);
    const keys = removed.map((topic) => sessionKey(SUBSCRIPTION, client.id, topic));
    await this.#options.write(keys.map((key) => ({ type: 'del', key })));
  }

  override async cleanSubscriptions(client: ClientId): Promise<void> {
    const topics = [...(this.#sessions.get(client.id) ?? [])];
    await super.cleanSubscriptions(client);
    this.#sessions.delete(client.id);
    const keys = topics.map((topic) => sessionKey(SUBSCRIPTION, client.id, topic));
    for (const { number } of this.#outgoing.get(client.id)?.entries() ?? []) {
      keys.push(outgoingKey(client.id, number));
    }
    this.#outgoing.delete(client.id); // a clean session has no past [MQTT-3.1.2-6]
    if (keys.length > 0) await this.#options.write(keys.map((key) => ({ type: 'del', key })));
  }

  /** Nearly always there is no persistent session to match: then nothing is searched. */
  override subscriptionsByTopic(topic: string): Promise<readonly { clientId: string }[]> {
    return this.#sessions.size === 0 ? NOBODY : super.subscriptionsByTopic(topic);
  }

  override async outgoingEnqueue(session: { clientId: string }, packet: BrokerPacket) {
    await this.#enqueue([session], packet);
  }

  override outgoingEnqueueCombi(
    sessions: readonly { clientId: string }[],
    packet: BrokerPacket,
  ): Promise<void> {
    return sessions.length === 0 ? NOTHING_TO_DO : this.#enqueue(sessions, packet);
  }

  async #enqueue(
    sessions: readonly { clientId: string }[],
    packet: BrokerPacket,
  ): Promise<void> {
    const operations: WriteOperation[] = [];
    for (const { clientId } of sessions) {
      const queue = this.#queueOf(clientId);
      if (queue.size >= this.#options.limits.sessionQueueEventsMax) {
        this.#options.refused('session_queue_full');
        continue;
      }
      const number = this.#nextNumber++;
      const copy: BrokerPacket = { ...packet, messageId: undefined };
      queue.add(copy, number);
      operations.push({
        type: 'put',
        key: outgoingKey(clientId, number),
        value: serializePacket(copy),
      });
    }
    if (operations.length > 0) await this.#options.write(operations);
  }

  override async outgoingUpdate(client: ClientId, packet: BrokerPacket): Promise<void> {
    const queued = this.#outgoing.get(client.id)?.update(packet);
    if (!queued) throw NOT_STORED;
    const key = outgoingKey(client.id, queued.number);
    const value = serializePacket(queued.packet);
    const operations: WriteOperation[] = [{ type: 'put', key, value }];
    // after PUBREC the publish must not be sent again, so this is durable before PUBREL
    if (packet.brokerId) this.#options.defer(operations);
    else await this.#options.write(operations);
  }

  override async outgoingClearMessageId(
    client: ClientId,
    packet: MessageId,
  ): Promise<BrokerPacket | undefined> {
    const queue = this.#outgoing.get(client.id);
    const queued = queue?.remove(packet.messageId ?? 0);
    if (queued) {
      if (queue?.size === 0) this.#outgoing.delete(client.id);
      this.#options.defer([{ type: 'del', key: outgoingKey(client.id, queued.number) }]);
    }
    return queued?.packet;
  }

  override outgoingStream(client: ClientId): Readable {
    return Readable.from(this.#outgoing.get(client.id)?.packets() ?? []);
  }

  override async incomingStorePacket(
    client: ClientId & { readonly clean: boolean },
    packet: BrokerPacket,
  ): Promise<void> {
    const messageId = packet.messageId ?? 0;
    const accepted = this.#incomingOf(client.id);
    const operations: WriteOperation[] = [
      {
        type: 'put',
        key: incomingKey(client.id, messageId),
        value: Buffer.from(JSON.stringify({ clean: client.clean })),
      },
      ...(this.retainOperations(packet) ?? []),
    ];
    const storing = this.#options.accept(packet, operations);
    accepted.set(messageId, storing);
    try {
      await storing;
    } catch (error) {
      accepted.delete(messageId);
      throw error;
    }
  }

  /** Waits for a store under way: a copy that overtakes it must not be stored as well. */
  override async incomingGetPacket(client: ClientId, packet: MessageId): Promise<object> {
    const storing = this.#incoming.get(client.id)?.get(packet.messageId ?? 0);
    if (!storing) throw NOT_STORED;
    await storing;
    return packet; // aedes asks only whether there is one
  }

  override async incomingDelPacket(client: ClientId, packet: MessageId): Promise<void> {
    const accepted = this.#incoming.get(client.id);
    const messageId = packet.messageId ?? 0;
    if (!accepted?.has(messageId)) throw NOT_STORED;
    await this.#options.write([{ type: 'del', key: incomingKey(client.id, messageId) }]);
    accepted.delete(messageId);
    if (accepted.size === 0) this.#incoming.delete(client.id);
  }

  override async cleanIncoming(client: ClientId): Promise<void> {
    const accepted = this.#incoming.get(client.id);
    if (!accepted) return;
    this.#incoming.delete(client.id);
    const keys = [...accepted.keys()].map((messageId) => incomingKey(client.id, messageId));
    await this.#options.write(keys.map((key) => ({ type: 'del', key })));
  }

  override async putWill(client: ClientId, packet: BrokerPacket): Promise<void> {
    await super.putWill(client, packet);
    const value = serializePacket(packet);
    await this.#options.write([{ type: 'put', key: sessionKey(WILL, client.id), value }]);
  }

  override async delWill(client: ClientId) {
    const will = await super.delWill(client);
    if (will) this.#options.defer([{ type: 'del', key: sessionKey(WILL, client.id) }]);
    return will;
  }

  async #load(key: Buffer, value: Buffer): Promise<void> {
    const kind = String.fromCharCode(key[1] ?? 0);
    const [first = '', second = ''] = key.toString('utf8', 2).split('\0');
    const client = { id: first };
    if (kind === RETAINED) {
      this.#retainedTopics.add(first);
      await super.storeRetained(parsePacket(value));
    } else if (kind === SUBSCRIPTION) {
      const topics = this.#sessions.get(first) ?? new Set();
      this.#sessions.set(first, topics.add(second));
      await super.addSubscriptions(client, [JSON.parse(value.toString())]);
    } else if (kind === OUTGOING) {
      const number = Number(second);
      this.#nextNumber = Math.max(this.#nextNumber, number + 1);
      this.#queueOf(first).add(parsePacket(value), number);
    } else if (kind === INCOMING) {
      // a clean session ended with the connection, whatever it had under way
      if (JSON.parse(value.toString()).clean) this.#options.defer([{ type: 'del', key }]);
      else this.#incomingOf(first).set(Number(second), Promise.resolve());
    } else if (kind === WILL) {
      const will = parsePacket(value);
      const { brokerId } = will;
      await super.putWill(client, will);
      Object.assign(will, { brokerId }); // of the broker that is gone: aedes publishes these wills
    }
  }

  #queueOf(clientId: string): OutgoingQueue {
    let queue = this.#outgoing.get(clientId);
    if (!queue) {
      queue = new OutgoingQueue();
      this.#outgoing.set(clientId, queue);
    }
    return queue;
  }

  #incomingOf(clientId: string): Map<number, Promise<void>> {
    let accepted = this.#incoming.get(clientId);
    if (!accepted) {
      if (this.#incoming.size >= this.#options.limits.sessionsMax) {
        this.#options.refused('session_limit');
        throw new Error('too many sessions with QoS 2 messages under way');
      }
      accepted = new Map();
      this.#incoming.set(clientId, accepted);
    }
    return accepted;
  }
}

function outgoingKey(clientId: string, number: number): Buffer {
  return sessionKey(OUTGOING, clientId, String(number).padStart(NUMBER_DIGITS, '0'));
}

function incomingKey(clientId: string, messageId: number): Buffer {
  return sessionKey(INCOMING, clientId, String(messageId));
}
