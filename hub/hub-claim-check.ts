import type { HubConfig, ObjectStorageConfig } from '../config/schema.ts';
import type { Clock } from './core/clock.ts';
import type { EventLimit, Sink, SinkContext } from './core/sink.ts';
import { ClaimCheckedSink } from './forward/claim-check/claim-checked-sink.ts';
import type { ObjectStore } from './forward/claim-check/object-store.ts';
import { S3Store } from './forward/claim-check/s3-store.ts';

/** In the order of the configuration. */
export type ObjectStores = readonly ObjectStore[];

/** The object storage of the configuration. Nothing is asked of it before it is needed. */
export function objectStoresOf({ hub, object_storage }: HubConfig, clock: Clock): ObjectStores {
  return object_storage.map((config) => s3StoreOf(config, hub.data_dir, clock));
}

function s3StoreOf(config: ObjectStorageConfig, folder: string, clock: Clock): ObjectStore {
  return new S3Store({
    id: config.id,
    url: new URL(config.url),
    bucket: config.bucket,
    region: config.region,
    prefix: config.prefix,
    pathStyle: config.path_style,
    referenceUrl: config.reference_url,
    credentials: {
      accessKeyId: config.access_key_id.reveal(),
      secretAccessKey: config.secret_access_key.reveal(),
      sessionToken: config.session_token?.reveal(),
    },
    timeoutMs: config.timeout,
    tls: config,
    folder,
    wallMs: () => clock.wallMs(),
    monotonicMs: () => clock.monotonicMs(),
  });
}

/** `sink`, with what is too large for it sent by reference; itself when it takes any size. */
export function claimChecked(
  sink: Sink,
  limit: EventLimit | undefined,
  { hubId, logId, decode }: SinkContext,
  stores: ObjectStores,
): Sink {
  const bytesMax = limit?.bytesMax;
  if (bytesMax === undefined || !sink.bytesAbove) return sink;
  const claimCheck = limit?.claimCheck ?? true;
  const named = ({ id }: ObjectStore) => typeof claimCheck !== 'string' || id === claimCheck;
  const store = claimCheck === false ? undefined : stores.find(named);
  const whyNoStore =
    claimCheck === false
      ? 'with `claim_check: false` it is not sent by reference'
      : 'configure object_storage to send it by reference';
  const bytesAbove = sink.bytesAbove.bind(sink);
  const options = { hubId, logId, decode, bytesMax, store, whyNoStore };
  return new ClaimCheckedSink(sink, bytesAbove, options);
}
