import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import mqttPacket, { type IConnectPacket, type Packet } from 'mqtt-packet';
import { until } from './until.ts';

/** A bare MQTT client that does nothing by itself: no acknowledgement, no keepalive, no retry. */
export class RawMqtt {
  readonly socket: Socket;
  readonly received: Packet[] = [];
  #state: 'open' | 'closed' = 'open';

  constructor(socket: Socket) {
    this.socket = socket;
    const parser = mqttPacket.parser();
    parser.on('packet', (packet: Packet) => this.received.push(packet));
    socket.on('data', (chunk: Buffer) => parser.parse(chunk));
    socket.on('error', () => {}); // a reset is a way to be cut; `closed` tells
    socket.on('close', () => {
      this.#state = 'closed';
    });
  }

  get closed(): boolean {
    return this.#state === 'closed';
  }

  /** Sends packets, or bytes as they are, in one write. */
  send(...parts: readonly (Packet | Buffer)[]): void {
    const bytes = parts.map((part) => (Buffer.isBuffer(part) ? part : mqttPacket.generate(part)));
    this.socket.write(Buffer.concat(bytes));
  }

  of<Command extends Packet['cmd']>(cmd: Command): Extract<Packet, { cmd: Command }>[] {
    return this.received.filter(
      (packet): packet is Extract<Packet, { cmd: Command }> => packet.cmd === cmd,
    );
  }

  ids(cmd: 'puback' | 'pubrec' | 'pubcomp' | 'pubrel'): (number | undefined)[] {
    return this.of(cmd).map(({ messageId }) => messageId);
  }

  /** Waits for `count` packets of a kind, counted from the beginning. */
  async wait(cmd: Packet['cmd'], count = 1): Promise<void> {
    await until(`${count} ${cmd}, there are ${this.received.map((packet) => packet.cmd)}`, () => {
      return this.of(cmd).length >= count;
    });
  }

  async waitClosed(): Promise<void> {
    await until('the connection is closed', () => this.closed);
  }

  /** Ends the connection as a power cut of the device does: no DISCONNECT. */
  async cut(): Promise<void> {
    this.socket.destroy();
    await this.waitClosed();
  }
}

export async function openRaw(port: number): Promise<RawMqtt> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  return new RawMqtt(socket);
}

export function connectPacket(clientId: string, more: Partial<IConnectPacket> = {}): Packet {
  return { cmd: 'connect', clientId, keepalive: 0, clean: true, protocolId: 'MQTT', ...more };
}

/** Connected, with CONNACK received. */
export async function connectRaw(
  port: number,
  clientId: string,
  more: Partial<IConnectPacket> = {},
): Promise<RawMqtt> {
  const client = await openRaw(port);
  client.send(connectPacket(clientId, more));
  await client.wait('connack');
  return client;
}

export function publishPacket(
  topic: string,
  payload: string | Buffer,
  qos: 0 | 1 | 2 = 0,
  messageId = 1,
  more: { readonly retain?: boolean; readonly dup?: boolean } = {},
): Packet {
  const base = { cmd: 'publish' as const, topic, payload, qos, retain: false, ...more };
  return qos > 0 ? { dup: false, ...base, messageId } : { ...base, dup: false };
}

export function subscribePacket(messageId: number, topic: string, qos: 0 | 1 | 2 = 0): Packet {
  return { cmd: 'subscribe', messageId, subscriptions: [{ topic, qos }] };
}
