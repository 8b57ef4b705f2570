/**
 * The MQTT broker: the only importer of aedes, kept narrow so that a later aedes is a change here.
 *
 * Invariants:
 * - QoS 1: aedes writes PUBACK right after `authorizePublish`, so the event is made durable there;
 * - QoS 2: `authorizePublish` also sees re-sent copies, so the event is made durable in the session
 *   store's `incomingStorePacket`, together with the mark that it was accepted, before PUBREC;
 * - acknowledgements leave in the order of arrival, because commits call back in that order;
 * - a client whose event waits for the card or for room is not read any further: aedes holds one
 *   chunk of 64 KiB, then TCP pushes back;
 * - sinks never subscribe here: they read the log.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { Aedes, type Client, type PublishPacket } from 'aedes';
import type { Logger } from 'pino';
import { describeError, HubError } from '../../core/errors.ts';
import { SESSION_RANGE } from '../../log/keys.ts';
import type { DurableLog } from '../../log/durable-log.ts';
import type { Intake, IntakePort } from '../intake.ts';
import { fanOut } from './fan-out.ts';
import { readPackets } from './packet-reader.ts';
import { type Retainable, type SessionLimits, SessionStore } from './session-store.ts';
import { clientIdRefusal, type TopicLimits, topicRefusals } from './topic-rules.ts';

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
  readonly #refusals = new Map<string, number>();
  readonly #port: IntakePort;
  readonly #topicRefusal: (topic: string) => string;
  #aedes: Aedes | undefined;

  constructor(options: BrokerOptions) {
    this.#options = options;
    const { intake, log, limits } = options;
    this.#port = intake.port('mqtt');
    this.#topicRefusal = topicRefusals(limits);
    this.#sessions = new SessionStore({
      limits,
      entries: () => log.entries(SESSION_RANGE),
      write: (operations) => settled((done) => intake.write(operations, done)),
      defer: (operations) => log.defer(operations),
      accept: (packet, operations) =>
        settled((done) => this.#port.accept(packet.topic, packet.payload, done, operations)),
      refused: (reason) => this.#refused(reason),
    });
  }

  get clients(): number {
    return this.#aedes ? Number(Reflect.get(this.#aedes, 'connectedClients') ?? 0) : 0;
  }

  /** Addresses that accept clients, as `host:port`. */
  get addresses(): string[] {
    return this.#servers.map((server) => addressOf(server));
  }

  /** Refusals by reason: a small fixed set of words. */
  refusals(): ReadonlyMap<string, number> {
    return this.#refusals;
  }

  /** Errors: SERVICE_UNAVAILABLE when an address cannot be listened on. */
  async start(): Promise<void> {
    const { limits } = this.#options;
    const aedes = new Aedes({
      mq: fanOut(),
      persistence: this.#sessions,
      drainTimeout: DRAIN_TIMEOUT_MS,
      connectTimeout: CONNECT_TIMEOUT_MS,
      queueLimit: PACKETS_BEFORE_CONNACK_MAX,
      maxInflightInbound: limits.inflightMax,
      maxTopicLevels: limits.topicLevelsMax,
      preConnect: (client, packet, callback) => {
        const refusal = clientIdRefusal(packet.clientId);
        if (refusal) this.#refused(refusal, client);
        callback(null, !refusal);
      },
      authenticate: (client, _username, _password, callback) => {
        if (!this.#options.anonymous) this.#refused('not_authorized', client);
        callback(null, this.#options.anonymous);
      },
      authorizePublish: (client, packet, callback) =>
        this.#authorizePublish(client, packet, callback),
      authorizeSubscribe: (client, subscription, callback) => {
        const refusal = this.#topicRefusal(subscription.topic);
        if (refusal) this.#refused(refusal, client);
        callback(null, refusal ? null : subscription);
      },
    });
    Object.assign(aedes, { maxClientsIdLength: CLIENT_ID_LENGTH_MAX });
    aedes.on('clientError', (client, error) => this.#clientFailed(client, error));
    aedes.on('connectionError', (client, error) => this.#clientFailed(client, error));
    this.#aedes = aedes;
    await aedes.listen();
    for (const listener of this.#options.listeners) await this.#listen(aedes, listener);
  }

  /** Stops accepting and disconnects everybody. Nothing is acknowledged from here on. */
  async stop(): Promise<void> {
    for (const server of this.#servers) server.close();
    const aedes = this.#aedes;
    if (aedes) await new Promise<void>((resolve) => aedes.close(() => resolve()));
  }

  async #listen(aedes: Aedes, { host, port }: Listener): Promise<void> {
    const server = createServer({ noDelay: true }, (socket) => this.#accept(aedes, socket));
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
    readPackets(client, {
      bytesMax: this.#options.limits.packetBytesMax,
      tooLarge: () => this.#refused('packet_too_large', client),
    });
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
      return;
    }
    // a will has no command: it goes straight to `publish`, whatever its QoS
    if (packet.qos === 2 && packet.cmd === 'publish') {
      callback(null);
      return;
    }
    const { intake } = this.#options;
    const publish = withPayloadBytes(packet);
    const operations = this.#sessions.retainOperations(publish);
    // nobody awaits the answer to QoS 0, so it waits only when the card does not keep up
    const waits = packet.qos > 0 || intake.congested;
    this.#port.accept(publish.topic, publish.payload, waits ? callback : ignoreResult, operations);
    if (!waits) callback(null);
  }

  #clientFailed(client: Client, error: Error): void {
    this.#options.logger.debug({ client: client.id, error: describeError(error) }, 'MQTT client cut');
  }

  #refused(reason: string, client?: Client | null): void {
    this.#refusals.set(reason, (this.#refusals.get(reason) ?? 0) + 1);
    this.#options.logger.debug({ client: client?.id, reason }, 'MQTT client refused');
  }
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
