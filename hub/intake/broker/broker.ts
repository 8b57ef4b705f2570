/**
 * The MQTT broker: the only importer of aedes, kept narrow so that a later aedes is a change here.
 *
 * Invariants:
 * - QoS 1: aedes writes PUBACK right after `authorizePublish`, so the event is made durable there;
 * - QoS 2: `authorizePublish` also sees re-sent copies, so the event is made durable in the session
 *   store's `incomingStorePacket`, together with the mark that it was accepted, before PUBREC;
 * - acknowledgements leave in the order of arrival, because commits call back in that order;
 * - a client whose event waits for room, or for a card that does not keep up, is not read any
 *   further (`Admission`): one chunk of 64 KiB is in memory, then TCP pushes back;
 * - nothing of a client is read while it connects: aedes would let it overtake what came before;
 * - sinks never subscribe here: they read the log.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { Aedes, type AedesPublishPacket, type Client, type PublishPacket } from 'aedes';
import type { Logger } from 'pino';
import { describeError, HubError } from '../../core/errors.ts';
import type { DurableLog } from '../../log/durable-log.ts';
import { SESSION_RANGE } from '../../log/keys.ts';
import type { Intake, IntakePort } from '../intake.ts';
import { Admission } from './admission.ts';
import { fanOut } from './fan-out.ts';
import { Forwarding } from './forwarding.ts';
import { readPackets } from './packet-reader.ts';
import { cutReason, type RefusalReason } from './refusals.ts';
import { type Retainable, type SessionLimits, SessionStore } from './session-store.ts';
import { SubscriptionRules } from './subscription-rules.ts';
import { clientIdRefusal, type TopicLimits, topicRefusals, willRefusal } from './topic-rules.ts';

/** One frozen subscriber holds up every delivery for this long at most, then it is cut. */
const DRAIN_TIMEOUT_MS = 5_000;
/** A client that has not sent a whole CONNECT by then is not one. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Packets a client may send before CONNACK: more than clients do, and few bytes. */
const PACKETS_BEFORE_CONNACK_MAX = 1_000;
/** MQTT 3.1 allows 23 characters; everybody sends more. Checked with `clientIdRefusal`. */
const CLIENT_ID_LENGTH_MAX = 256;
/** Sockets waiting to be accepted: a fleet that reconnects after a power cut comes at once. */
const BACKLOG = 1_024;
/** A device that lost its power says nothing: after this TCP asks, and its place becomes free. */
const TCP_KEEPALIVE_DELAY_MS = 60_000;
/** What aedes can match; the configured limit is lower and counted. */
const MATCHED_LEVELS_MAX = 100;
/** CONNACK return codes of MQTT 3. */
const IDENTIFIER_REJECTED = 2;
const NOT_AUTHORIZED = 5;

export interface BrokerLimits extends SessionLimits, TopicLimits {
  readonly clientsMax: number;
  readonly packetBytesMax: number;
  /** Half-open QoS 2 messages a client. */
  readonly inflightMax: number;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
}

export interface BrokerOptions {
  readonly intake: Intake;
  readonly log: DurableLog;
  readonly listeners: readonly Listener[];
  readonly anonymous: boolean;
  readonly limits: BrokerLimits;
  readonly logger: Logger;
}

export class Broker {
  readonly #options: BrokerOptions;
  readonly #servers: Server[] = [];
  readonly #sessions: SessionStore;
  readonly #refusals = new Map<RefusalReason, number>();
  readonly #port: IntakePort;
  readonly #topicRefusal: (topic: string) => RefusalReason | '';
  readonly #subscriptions: SubscriptionRules;
  readonly #forwarding = new Forwarding();
  readonly #admission: Admission;
  readonly #sockets = new Set<Socket>();
  /** Found in CONNECT, answered in CONNACK. */
  readonly #connectRefusals = new WeakMap<Client, RefusalReason>();
  #stopListening: (() => void) | undefined;
  #aedes: Aedes | undefined;

  constructor(options: BrokerOptions) {
    this.#options = options;
    const { intake, log, limits } = options;
    this.#port = intake.port('mqtt');
    this.#topicRefusal = topicRefusals(limits);
    this.#subscriptions = new SubscriptionRules(this.#topicRefusal);
    this.#admission = new Admission(
      (topic) => intake.congested(topic),
      (client) => readableAgain(client),
    );
    this.#sessions = new SessionStore({
      limits,
      entries: () => log.entries(SESSION_RANGE),
      write: (operations) => settled((done) => intake.write(operations, done)),
      defer: (operations) => log.defer(operations),
      accept: (client, packet, operations) =>
        settled((done) => {
          const { topic, payload } = packet;
          this.#whenThereIsRoom(
            client,
            topic,
            () => this.#port.accept(topic, payload, done, operations),
            () => done(new HubError('LOG_FULL', 'the client left before there was room')),
          );
        }),
      isGranted: (subscription) => this.#subscriptions.isGranted(subscription),
      willRefusal: (topic) => willRefusal(topic, this.#topicRefusal),
      refused: (reason) => this.#refused(reason),
      damaged: (kind, error) =>
        this.#options.logger.error(
          { kind, error: describeError(error) },
          'an entry of the MQTT session state is damaged: left out',
        ),
    });
  }

  get clients(): number {
    return this.#aedes ? Number(Reflect.get(this.#aedes, 'connectedClients') ?? 0) : 0;
  }

  /** Clients whose publishes wait until the log can take them. */
  get waitingClients(): number {
    return this.#admission.clients;
  }

  /** Addresses that accept clients, as `host:port`. */
  get addresses(): string[] {
    return this.#servers.map((server) => addressOf(server));
  }

  /** Refusals by reason; a reason that never occurred is absent. */
  refusals(): ReadonlyMap<RefusalReason, number> {
    return this.#refusals;
  }

  /** Errors: SERVICE_UNAVAILABLE when an address cannot be listened on. */
  async start(): Promise<void> {
    const { limits, log, logger } = this.#options;
    const aedes = new Aedes({
      mq: fanOut(),
      persistence: this.#sessions,
      drainTimeout: DRAIN_TIMEOUT_MS,
      connectTimeout: CONNECT_TIMEOUT_MS,
      queueLimit: PACKETS_BEFORE_CONNACK_MAX,
      maxInflightInbound: limits.inflightMax,
      maxTopicLevels: MATCHED_LEVELS_MAX,
      preConnect: (client, packet, callback) => {
        const { clientId, clean, will } = packet;
        const refusal =
          clientIdRefusal(clientId, clean ?? true) ||
          (will ? willRefusal(will.topic, this.#topicRefusal) : '');
        if (refusal) this.#connectRefusals.set(client, refusal);
        callback(null, true); // refused with a CONNACK: here it would be left connected
      },
      authenticate: (client, _username, _password, callback) =>
        this.#authenticate(client, callback),
      authorizePublish: (client, packet, callback) =>
        this.#authorizePublish(client, packet, callback),
      authorizeSubscribe: (client, subscription, callback) => {
        const refusal = this.#subscriptions.refusal(client, subscription);
        if (refusal) this.#refused(refusal, client);
        callback(null, refusal ? null : subscription);
      },
      authorizeForward: (client, packet) => this.#forwarding.forward(client, packet),
    });
    Object.assign(aedes, { maxClientsIdLength: CLIENT_ID_LENGTH_MAX });
    aedes.on('subscribe', (_subscriptions, client) => this.#subscriptions.settled(client));
    aedes.on('clientError', (client, error) => this.#clientFailed(client, error));
    aedes.on('connectionError', (client, error) => this.#clientFailed(client, error));
    aedes.addListener('error', (error) =>
      logger.error({ error: describeError(error) }, 'the MQTT broker failed at a message'),
    );
    this.#aedes = aedes;
    await aedes.listen();
    this.#stopListening = log.onCommit(() => this.#admission.release());
    for (const listener of this.#options.listeners) await this.#listen(aedes, listener);
  }

  /**
   * To all subscribers with QoS 1; it does not become an event. Resolves when the sessions that are
   * away have it.
   */
  async publish(topic: string, payload: Buffer): Promise<void> {
    const aedes = this.#aedes;
    if (!aedes) throw new HubError('SERVICE_UNAVAILABLE', 'the MQTT broker is not running');
    const packet = { cmd: 'publish', topic, payload, qos: 1, retain: false, dup: false } as const;
    await new Promise<void>((resolve, reject) => {
      aedes.publish(packet, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Hears what clients publish from now on, until the returned function is called. */
  listen(filter: string, listener: (topic: string, payload: Buffer) => void): () => void {
    const deliver = ({ topic, payload }: AedesPublishPacket, done: () => void) => {
      listener(topic, Buffer.from(payload));
      done();
    };
    this.#aedes?.subscribe(filter, deliver, () => {});
    return () => this.#aedes?.unsubscribe(filter, deliver, () => {});
  }

  /** Stops accepting and disconnects everybody. Nothing is acknowledged from here on. */
  async stop(): Promise<void> {
    for (const server of this.#servers) server.close();
    const aedes = this.#aedes;
    if (aedes) await new Promise<void>((resolve) => aedes.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy(); // of those that never said who they are
    this.#stopListening?.();
  }

  async #listen(aedes: Aedes, { host, port }: Listener): Promise<void> {
    const server = createServer(
      { noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEPALIVE_DELAY_MS },
      (socket) => this.#accept(aedes, socket),
    );
    server.maxConnections = this.#options.limits.clientsMax;
    server.on('drop', () => this.#refused('too_many_clients'));
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) =>
        reject(
          new HubError(
            'SERVICE_UNAVAILABLE',
            `cannot listen for MQTT on ${host}:${port}: ${describeError(cause)}`,
            { cause },
          ),
        ),
      );
      server.listen({ host, port, backlog: BACKLOG }, resolve);
    });
    this.#servers.push(server);
  }

  #accept(aedes: Aedes, socket: Socket): void {
    const client = aedes.handle(socket);
    this.#forwarding.join(client);
    readPackets(client, {
      bytesMax: this.#options.limits.packetBytesMax,
      tooLarge: () => this.#refused('packet_too_large', client),
      malformed: () => this.#refused('malformed_packet', client),
    });
    const read = socket.read.bind(socket);
    socket.read = (size) =>
      client.connecting || this.#admission.holds(client) ? null : read(size);
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#admission.leave(client);
    });
  }

  #authenticate(client: Client, callback: AuthenticateCallback): void {
    const refusal =
      this.#connectRefusals.get(client) ?? (this.#options.anonymous ? undefined : 'not_authorized');
    if (!refusal) {
      callback(null, true);
      return;
    }
    this.#refused(refusal, client);
    // aedes wipes the QoS 2 state of a clean client that it lets go, and this may be another's id
    Object.assign(client, { clean: false });
    const returnCode = refusal.startsWith('client_id_') ? IDENTIFIER_REJECTED : NOT_AUTHORIZED;
    callback(Object.assign(new Error(`connection refused: ${refusal}`), { returnCode }), false);
  }

  #authorizePublish(
    client: Client | null,
    packet: PublishPacket,
    callback: (error?: Error | null) => void,
  ): void {
    const refusal = this.#topicRefusal(packet.topic);
    if (refusal) {
      this.#refused(refusal, client);
      callback(new Error(`publish refused: ${refusal}`));
    } else if (packet.cmd !== 'publish') {
      this.#acceptWill(packet, callback);
    } else if (packet.qos === 2 || !client) {
      callback(null);
    } else if (this.#admission.mustHold(client, packet.topic)) {
      const go = () => this.#acceptPublish(packet, callback);
      this.#admission.hold(client, packet.topic, go, ignoreResult);
    } else {
      this.#acceptPublish(packet, callback);
    }
  }

  #acceptPublish(packet: PublishPacket, callback: (error?: Error | null) => void): void {
    const publish = withPayloadBytes(packet);
    const { topic, payload, qos } = publish;
    // nobody awaits the answer to QoS 0
    this.#port.accept(
      topic,
      payload,
      qos > 0 ? callback : ignoreResult,
      this.#sessions.retain(publish),
    );
    if (qos === 0) callback(null);
  }

  /** A will goes straight to `publish`, whatever its QoS. It becomes an event exactly once. */
  #acceptWill(packet: PublishPacket, callback: (error?: Error | null) => void): void {
    const publish = withPayloadBytes(packet);
    const clientId = Reflect.get(packet, 'clientId');
    const operations = [...this.#sessions.retain(publish)];
    if (typeof clientId === 'string') operations.push(this.#sessions.willOperation(clientId));
    this.#port.accept(publish.topic, publish.payload, callback, operations);
  }

  #whenThereIsRoom(client: object, topic: string, go: () => void, gone: () => void): void {
    if (this.#admission.mustHold(client, topic)) this.#admission.hold(client, topic, go, gone);
    else go();
  }

  #clientFailed(client: Client, error: Error): void {
    const reason = cutReason(error);
    if (reason) this.#refused(reason, client);
    this.#options.logger.debug(
      { client: client.id, error: describeError(error) },
      'MQTT client cut',
    );
  }

  #refused(reason: RefusalReason, client?: Client | null): void {
    this.#refusals.set(reason, (this.#refusals.get(reason) ?? 0) + 1);
    this.#options.logger.debug({ client: client?.id, reason }, 'MQTT client refused');
  }
}

type AuthenticateCallback = Parameters<Aedes['authenticate']>[3];

/** Wakes aedes, which was told that there is nothing to read. */
function readableAgain(client: object): void {
  (client as Client).conn.emit('readable');
}

function ignoreResult(): void {}

/** Turns a `done` callback into a promise. */
function settled(start: (done: (error?: HubError) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error ? reject(error) : resolve()));
  });
}

type Publish = Pick<PublishPacket, 'topic' | 'qos'> & Retainable;

/** The parser gives bytes; a will that another part of aedes made may be text. */
function withPayloadBytes(packet: PublishPacket): Publish {
  if (typeof packet.payload === 'string') packet.payload = Buffer.from(packet.payload);
  return packet as Publish;
}

function addressOf(server: Server): string {
  const address = server.address();
  return address && typeof address === 'object' ? `${address.address}:${address.port}` : '';
}
