/**
 * What the broker must remember across restarts: sessions' subscriptions, retained messages, queues
 * of absent clients, wills, and which QoS 2 messages were already accepted.
 *
 * Invariants:
 * - a QoS 2 message and the mark that it was accepted are one write, before PUBREC: a re-sent one
 *   is stored once, whenever the power goes;
 * - the mark is gone for good before PUBCOMP, because the client may then use the id for something
 *   new, which an old mark would swallow;
 * - SUBACK follows the write of the subscription;
 * - memory holds a copy of everything and answers every question; the log is read only at start;
 * - every map is bounded: sessions, packets a session, retained messages, and the bytes of both;
 * - what is kept is a copy: a payload is a view of a socket's chunk of 64 KiB, which it would keep;
 * - a damaged entry is left out and reported; the broker starts.
 */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import MemoryPersistence from 'aedes-persistence/asyncPersistence.js';
import { sessionKey } from '../../log/keys.ts';
import type { Entry, WriteOperation } from '../../log/storage/storage.ts';
import { OutgoingQueue } from './outgoing-queue.ts';
import type { RefusalReason } from './refusals.ts';
import { type BrokerPacket, parsePacket, serializePacket, sizeOf } from './stored-packet.ts';

const RETAINED = 'r';
const SUBSCRIPTION = 'u';
const OUTGOING = 'o';
const INCOMING = 'i';
const WILL = 'w';
const NUMBER_DIGITS = 16;
/** Message ids are 16 bits, and a subscriber may have all that is queued for it in flight. */
export const SESSION_QUEUE_EVENTS_MAX = 60_000;
/** Retained messages are states of devices, some bytes each: this is room for 10,000 of 1.6 kB. */
const RETAINED_BYTES_MAX = 16 * 1024 * 1024;
/** For all absent subscribers together: a Pi with 1 GB can spare it. */
const QUEUED_BYTES_MAX = 64 * 1024 * 1024;
/** Enough characters of a digest to tell one message from the next under the same id. */
const DIGEST_CHARS = 16;

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
  accept(
    client: ClientId,
    packet: BrokerPacket,
    operations: readonly WriteOperation[],
  ): Promise<void>;
  /** Whether a subscription was allowed: aedes hands over all of a packet, refused ones too. */
  isGranted(subscription: Subscription): boolean;
  /** Why a kept will must not be published; empty when it may. */
  willRefusal(topic: string): string;
  refused(reason: RefusalReason): void;
  /** An entry could not be read; it is removed. */
  damaged(kind: string, problem: unknown): void;
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

/** A QoS 2 message that was accepted, or is about to be. */
interface Mark {
  readonly digest: string;
  readonly stored: Promise<void>;
  settled: boolean;
}

/** A publish whose retain flag is taken away when it has been seen to. */
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
const NO_PAYLOAD = Buffer.alloc(0);
/** One for every message that is not retained: nearly all. */
const NO_OPERATIONS: readonly WriteOperation[] = [];

export class SessionStore extends MemoryPersistence {
  readonly #options: SessionStoreOptions;
  readonly #outgoing = new Map<string, OutgoingQueue>();
  readonly #incoming = new Map<string, Map<number, Mark>>();
  /** Bytes of each retained message. */
  readonly #retained = new Map<string, number>();
  /** Filters of each persistent session, with their QoS. */
  readonly #sessions = new Map<string, Map<string, number>>();
  #retainedBytes = 0;
  #queuedBytes = 0;
  #nextNumber = 0;

  constructor(options: SessionStoreOptions) {
    super();
    this.#options = options;
  }

  override async setup(broker: { readonly id: string }): Promise<void> {
    await super.setup(broker);
    for await (const [key, value] of this.#options.entries()) {
      try {
        await this.#load(key, value);
      } catch (error) {
        this.#options.damaged(String.fromCharCode(key[1] ?? 0), error);
        this.#options.defer([{ type: 'del', key }]);
      }
    }
  }

  /**
   * Retains the message if it is to be, and answers what must be written with its event. Its flag
   * is taken away: nobody who is subscribed gets it with the flag [MQTT-3.3.1-9], and aedes, which
   * would retain it asynchronously, would let the next message of the same topic overtake it.
   */
  retain(packet: Retainable): readonly WriteOperation[] {
    if (!packet.retain) return NO_OPERATIONS;
    packet.retain = false;
    const { topic } = packet;
    const key = sessionKey(RETAINED, topic);
    if (packet.payload.length === 0) {
      this.#forgetRetained(topic);
      return [{ type: 'del', key }];
    }
    const { retainedMessagesMax } = this.#options.limits;
    const known = this.#retained.get(topic);
    const bytes = this.#retainedBytes - (known ?? 0) + sizeOf(packet);
    if (bytes > RETAINED_BYTES_MAX || (!known && this.#retained.size >= retainedMessagesMax)) {
      this.#options.refused('retained_limit'); // it is passed on like any other
      return [];
    }
    const { qos } = packet;
    const kept: BrokerPacket = { ...copyOf({ topic, payload: packet.payload, qos }), retain: true };
    this.#remember(kept);
    return [{ type: 'put', key, value: serializePacket(kept) }];
  }

  #remember(packet: BrokerPacket): void {
    this.#forgetRetained(packet.topic);
    this.#retained.set(packet.topic, sizeOf(packet));
    this.#retainedBytes += sizeOf(packet);
    void super.storeRetained(packet);
  }

  #forgetRetained(topic: string): void {
    this.#retainedBytes -= this.#retained.get(topic) ?? 0;
    this.#retained.delete(topic);
    void super.storeRetained({ ...copyOf({ topic, payload: NO_PAYLOAD, qos: 0 }), retain: true });
  }

  override async addSubscriptions(
    client: ClientId,
    subscriptions: readonly Subscription[],
  ): Promise<void> {
    const topics = this.#sessionOf(client.id);
    // aedes calls this for each subscription of a packet, each time with all of them
    const added = subscriptions.filter(
      (subscription) =>
        this.#options.isGranted(subscription) &&
        topics.get(subscription.topic) !== subscription.qos,
    );
    if (added.length > 0) await super.addSubscriptions(client, added);
    const operations = added.map(({ topic, qos }): WriteOperation => {
      topics.set(topic, qos);
      const key = sessionKey(SUBSCRIPTION, client.id, topic);
      return { type: 'put', key, value: Buffer.from(JSON.stringify({ topic, qos })) };
    });
    await this.#options.write(operations); // also without any: an earlier call's are durable then
  }

  #sessionOf(clientId: string): Map<string, number> {
    let topics = this.#sessions.get(clientId);
    if (!topics) {
      if (this.#sessions.size >= this.#options.limits.sessionsMax) {
        this.#options.refused('session_limit');
        throw new Error('too many persistent sessions');
      }
      topics = new Map();
      this.#sessions.set(clientId, topics);
    }
    return topics;
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
    const topics = [...(this.#sessions.get(client.id)?.keys() ?? [])];
    await super.cleanSubscriptions(client);
    this.#sessions.delete(client.id);
    const keys = topics.map((topic) => sessionKey(SUBSCRIPTION, client.id, topic));
    const queue = this.#outgoing.get(client.id);
    for (const { number } of queue?.entries() ?? []) keys.push(outgoingKey(client.id, number));
    this.#queuedBytes -= queue?.bytes ?? 0;
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

  async #enqueue(sessions: readonly { clientId: string }[], packet: BrokerPacket): Promise<void> {
    const operations: WriteOperation[] = [];
    const kept = copyOf(packet);
    // a session with overlapping subscriptions is named once for each of them
    for (const clientId of new Set(sessions.map((session) => session.clientId))) {
      const queue = this.#queueOf(clientId);
      const isFull = queue.size >= this.#options.limits.sessionQueueEventsMax;
      if (isFull || this.#queuedBytes + sizeOf(kept) > QUEUED_BYTES_MAX) {
        this.#options.refused('session_queue_full');
        continue;
      }
      const number = this.#nextNumber++;
      queue.add({ ...kept }, number);
      this.#queuedBytes += sizeOf(kept);
      const key = outgoingKey(clientId, number);
      operations.push({ type: 'put', key, value: serializePacket(kept) });
    }
    if (operations.length > 0) await this.#options.write(operations);
  }

  /** What is not queued, because the queue was full, is delivered all the same. */
  override async outgoingUpdate(client: ClientId, packet: BrokerPacket): Promise<void> {
    const queue = this.#outgoing.get(client.id);
    const bytes = queue?.bytes ?? 0;
    const queued = queue?.update(packet);
    this.#queuedBytes += (queue?.bytes ?? 0) - bytes;
    if (!queued) return;
    const key = outgoingKey(client.id, queued.number);
    const value = serializePacket(queued.packet);
    const operations: WriteOperation[] = [{ type: 'put', key, value }];
    // after PUBREC the publish must not be sent again, so this is durable before PUBREL
    if (packet.cmd === 'pubrel') await this.#options.write(operations);
    else this.#options.defer(operations);
  }

  override async outgoingClearMessageId(
    client: ClientId,
    packet: MessageId,
  ): Promise<BrokerPacket | undefined> {
    const queue = this.#outgoing.get(client.id);
    const bytes = queue?.bytes ?? 0;
    const queued = queue?.remove(packet.messageId ?? 0);
    if (queued) {
      this.#queuedBytes += (queue?.bytes ?? 0) - bytes;
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
    const digest = digestOf(packet);
    const accepted = this.#incomingOf(client.id);
    const known = accepted.get(messageId);
    // two copies in one chunk: aedes asks for both before it stores the first
    if (known && isCopy(packet, known)) return known.stored;
    const operations = [...this.retain(packet)];
    if (!client.clean) {
      // a clean session ends with the connection: nothing of it is needed after a restart
      const key = incomingKey(client.id, messageId);
      operations.push({ type: 'put', key, value: Buffer.from(digest) });
    }
    const stored = this.#options.accept(client, packet, operations);
    const mark: Mark = { digest, stored, settled: false };
    accepted.set(messageId, mark);
    try {
      await stored;
      mark.settled = true;
    } catch (error) {
      this.#forgetMark(client.id, messageId, mark);
      throw error;
    }
  }

  /**
   * Waits for a store under way: a copy that overtakes it must not be stored as well. A publish
   * that says something else under the same id, and not that it is a copy, is none: its client has
   * lost its memory, as devices do.
   */
  override async incomingGetPacket(
    client: ClientId,
    packet: Partial<BrokerPacket>,
  ): Promise<object> {
    const mark = this.#incoming.get(client.id)?.get(packet.messageId ?? 0);
    if (!mark) throw NOT_STORED;
    if (packet.cmd === 'publish' && !isCopy(packet, mark)) throw NOT_STORED;
    await mark.stored;
    return packet; // aedes asks only whether there is one
  }

  override async incomingDelPacket(
    client: ClientId & { readonly clean?: boolean },
    packet: MessageId,
  ): Promise<void> {
    const messageId = packet.messageId ?? 0;
    const mark = this.#incoming.get(client.id)?.get(messageId);
    if (!mark) throw NOT_STORED;
    const key = incomingKey(client.id, messageId);
    if (!client.clean) await this.#options.write([{ type: 'del', key }]);
    this.#forgetMark(client.id, messageId, mark);
  }

  override async cleanIncoming(client: ClientId): Promise<void> {
    const accepted = this.#incoming.get(client.id);
    if (!accepted) return;
    this.#incoming.delete(client.id);
    const operations = [...accepted.keys()].map(
      (messageId): WriteOperation => ({ type: 'del', key: incomingKey(client.id, messageId) }),
    );
    const waiting = [...accepted.values()].filter(({ settled }) => !settled);
    if (waiting.length > 0) {
      // what still waits for room brings its mark after this
      const stored = Promise.allSettled(waiting.map((mark) => mark.stored));
      void stored.then(() => this.#options.defer(operations));
    }
    await this.#options.write(operations);
  }

  #forgetMark(clientId: string, messageId: number, mark: Mark): void {
    const accepted = this.#incoming.get(clientId);
    if (accepted?.get(messageId) !== mark) return;
    accepted.delete(messageId);
    if (accepted.size === 0) this.#incoming.delete(clientId);
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

  /** What removes a will: written with the event that it becomes. */
  willOperation(clientId: string): WriteOperation {
    return { type: 'del', key: sessionKey(WILL, clientId) };
  }

  async #load(key: Buffer, value: Buffer): Promise<void> {
    const kind = String.fromCharCode(key[1] ?? 0);
    const [first = '', second = ''] = key.toString('utf8', 2).split('\0');
    const client = { id: first };
    if (kind === RETAINED) {
      this.#remember(parsePacket(value));
    } else if (kind === SUBSCRIPTION) {
      const subscription: Subscription = JSON.parse(value.toString());
      const topics = this.#sessions.get(first) ?? new Map();
      await super.addSubscriptions(client, [{ topic: second, qos: subscription.qos }]);
      this.#sessions.set(first, topics.set(second, subscription.qos));
    } else if (kind === OUTGOING) {
      const number = Number(second);
      this.#nextNumber = Math.max(this.#nextNumber, number + 1);
      const packet = parsePacket(value);
      this.#queueOf(first).add(packet, number);
      this.#queuedBytes += sizeOf(packet);
    } else if (kind === INCOMING) {
      const mark = { digest: value.toString(), stored: NOTHING_TO_DO, settled: true };
      this.#incomingOf(first).set(Number(second), mark);
    } else if (kind === WILL) {
      const will = parsePacket(value);
      const refusal = this.#options.willRefusal(will.topic);
      if (refusal) throw new Error(`the will has a topic that is refused: ${refusal}`);
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

  #incomingOf(clientId: string): Map<number, Mark> {
    let accepted = this.#incoming.get(clientId);
    if (!accepted) {
      const [oldest] = this.#incoming.keys();
      if (oldest !== undefined && this.#incoming.size >= this.#options.limits.sessionsMax) {
        // of the client that is silent for longest: should it come back, it may repeat a message
        this.#options.refused('session_limit');
        void this.cleanIncoming({ id: oldest }).catch(() => undefined); // the hub stops
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

/** A publish of the broker's own, that shares nothing with the one it was made of. */
function copyOf(
  packet: Pick<BrokerPacket, 'topic' | 'payload' | 'qos'> &
    Pick<Partial<BrokerPacket>, 'brokerId' | 'brokerCounter'>,
): BrokerPacket {
  const { topic, qos, brokerId, brokerCounter } = packet;
  const number = brokerId && brokerCounter ? { brokerId, brokerCounter } : {};
  const payload = Buffer.from(packet.payload);
  return { cmd: 'publish', topic, payload, qos, retain: false, dup: false, ...number };
}

/** By its DUP flag [MQTT-3.3.1-1] (some clients make the payload anew), or as it is the same. */
function isCopy(packet: Partial<BrokerPacket>, { digest }: Mark): boolean {
  return packet.dup === true || digestOf(packet) === digest;
}

function digestOf({ topic = '', payload = NO_PAYLOAD }: Partial<BrokerPacket>): string {
  const hash = createHash('sha256').update(topic).update('\0').update(payload);
  return hash.digest('base64url').slice(0, DIGEST_CHARS);
}
