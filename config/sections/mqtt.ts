import { z } from 'zod';
import { bytes, host, port } from '../fields.ts';

export const MQTT_PORT = 1883;
export const LOOPBACK = '127.0.0.1';

const tcpListener = z.strictObject({
  type: z.literal('tcp').describe('Plain MQTT over TCP.'),
  host: host()
    .default(LOOPBACK)
    .describe(
      'Address to listen on; `0.0.0.0` is every IPv4 address, `::` every address. The default is ' +
        'loopback, because plain TCP shows every payload to the whole network.',
    ),
  port: port()
    .default(MQTT_PORT)
    .describe('Port to listen on; the default is the one MQTT has at IANA. 0: any free port.'),
});

/** 16: far more than the kinds of listener that exist, for one port on each of several networks. */
const LISTENERS_MAX = 16;

const limits = z.strictObject({
  clients_max: z
    .int()
    .min(1)
    .max(100_000)
    .default(1000)
    .describe(
      'Clients connected at once; further ones are refused. Each takes memory, and a site with ' +
        'more than 1000 devices has a larger machine.',
    ),
  packet_bytes_max: bytes({ min: '1 KiB', max: '255 MiB' })
    .prefault('256 KiB')
    .describe(
      'Largest MQTT packet; whoever sends a larger one is disconnected. Readings are small, and ' +
        'each connected client may hold one packet of this size in memory.',
    ),
  topic_levels_max: z
    .int()
    .min(1)
    .max(100)
    .default(16)
    .describe('Levels of a topic or a filter. Matching costs time for every level.'),
  topic_bytes_max: z
    .int()
    .min(1)
    .max(65_535)
    .default(512)
    .describe('Bytes of a topic or a filter. Every stored event carries its topic.'),
  session_queue_events_max: z
    .int()
    .min(1)
    .max(60_000)
    .default(1000)
    .describe(
      'Messages kept for one subscriber that is away; the newest are dropped and counted when ' +
        'there are more. The log keeps the event in any case.',
    ),
  sessions_max: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(10_000)
    .describe(
      'Persistent sessions kept on disk, connected or not. A device that takes a new client id ' +
        'at every start would otherwise fill the disk.',
    ),
  retained_messages_max: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(10_000)
    .describe('Retained messages kept; one on a further topic is passed on and not kept.'),
  inflight_max: z
    .int()
    .min(1)
    .max(65_535)
    .default(1000)
    .describe(
      'QoS 2 messages that one client may have begun and not finished. MQTT allows 65,535, each ' +
        'of which has to be remembered across restarts.',
    ),
});

export const mqtt = z.strictObject({
  listeners: z
    .array(z.discriminatedUnion('type', [tcpListener]))
    .max(LISTENERS_MAX)
    .default([])
    .describe(
      'Where MQTT clients connect. None by default: a hub opens no port that nobody asked for. ' +
        '`tcp` is the only type so far.',
    ),
  anonymous: z
    .boolean()
    .default(false)
    .describe(
      'Admit clients without an account. False, so that nobody opens a hub by forgetting a line. ' +
        'There are no accounts yet: a hub that listens needs `anonymous: true` for now.',
    ),
  allow_insecure: z
    .boolean()
    .default(false)
    .describe(
      'Allow `anonymous: true` on a listener that other machines can reach. Anybody on that ' +
        'network can then read and publish everything.',
    ),
  limits: limits.prefault({}).describe('Bounds of the broker. Each protects memory or disk.'),
});
