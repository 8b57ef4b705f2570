import { hostname } from 'node:os';
import { z } from 'zod';
import { asId, host, id, port, secret } from './fields.ts';
import { clock } from './sections/clock.ts';
import { decode } from './sections/decode.ts';
import { bridges, sinks } from './sections/endpoints.ts';
import { log } from './sections/log.ts';
import { LOOPBACK, mqtt } from './sections/mqtt.ts';
import { objectStorage } from './sections/object-storage.ts';
import { tracing } from './sections/tracing.ts';

export const HTTP_PORT = 8080;

const hub = z.strictObject({
  id: id()
    .default(() => asId(hostname()) || 'hub')
    .meta({ 'x-default': 'the host name' })
    .describe(
      'Name of this hub. It is part of every event id and of the source of every event, so give ' +
        'each hub its own. The host name, because a site with several hubs already tells them ' +
        'apart by it.',
    ),
  data_dir: z
    .string()
    .min(1)
    .default('./data')
    .describe(
      'Folder of the log and of everything else the hub keeps. A relative path starts at the ' +
        'folder of this file.',
    ),
});

const http = z.strictObject({
  host: host()
    .default(LOOPBACK)
    .describe(
      'Address of the console and the API. Loopback by default: whoever reaches it can read ' +
        'everything.',
    ),
  port: port().default(HTTP_PORT).describe('Port of the console and the API. 0: any free port.'),
  token: secret()
    .optional()
    .describe(
      'What a client has to send as `Authorization: Bearer <token>`. Required when `host` is not ' +
        'loopback. None by default, for the machine itself.',
    ),
});

/**
 * The whole configuration file. Types, validation, the JSON Schema, docs/CONFIG.md and the
 * commented example are all made from this.
 */
export const schema = z.strictObject({
  hub: hub.prefault({}).describe('The hub itself.'),
  mqtt: mqtt.prefault({}).describe('The MQTT broker that devices publish to.'),
  bridges,
  log: log.prefault({}).describe('The event log: everything that arrives is stored here first.'),
  decode,
  sinks,
  object_storage: objectStorage,
  http: http.prefault({}).describe('The console, the API and the metrics.'),
  tracing: tracing.prefault({}).describe('Following single events through the hub.'),
  clock: clock.prefault({}).describe('What happens while the clock is not synchronised.'),
});

/**
 * The configuration as the hub gets it: defaults filled in, sizes in bytes, durations in ms,
 * frozen.
 */
export type HubConfig = z.output<typeof schema>;
export type HubSection = HubConfig['hub'];
export type MqttConfig = HubConfig['mqtt'];
export type ListenerConfig = MqttConfig['listeners'][number];
export type MqttLimits = MqttConfig['limits'];
export type BridgeConfig = HubConfig['bridges'][number];
export type LogConfig = HubConfig['log'];
export type DecodeRule = HubConfig['decode'][number];
export type SinkConfig = HubConfig['sinks'][number];
export type ObjectStorageConfig = HubConfig['object_storage'][number];
export type HttpConfig = HubConfig['http'];
export type TracingConfig = HubConfig['tracing'];
export type ClockConfig = HubConfig['clock'];
