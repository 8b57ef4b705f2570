/** A packet as the broker keeps it: a publish, or the PUBREL that follows a QoS 2 one. */
export interface BrokerPacket {
  readonly cmd: string;
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  retain: boolean;
  dup?: boolean;
  messageId?: number | undefined;
  /** With `brokerCounter`, the broker's own number of the packet. A PUBREL has none. */
  readonly brokerId?: string;
  readonly brokerCounter?: number;
}

/** A packet as session state keeps it. JSON: there are few, and a person can read them. */
export function serializePacket(packet: Partial<BrokerPacket>): Buffer {
  const { payload, ...rest } = packet;
  const base64 = Buffer.from(payload ?? '').toString('base64');
  return Buffer.from(JSON.stringify({ ...rest, base64 }));
}

export function parsePacket(value: Buffer): BrokerPacket {
  const { base64, ...rest } = JSON.parse(value.toString());
  return { ...rest, payload: Buffer.from(base64, 'base64') };
}

/** Characters and bytes that a packet keeps in memory. A PUBREL has neither topic nor payload. */
export function sizeOf({ topic, payload }: Partial<BrokerPacket>): number {
  return (topic?.length ?? 0) + (payload?.length ?? 0);
}
