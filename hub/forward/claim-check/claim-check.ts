import { createHash } from 'node:crypto';
import { eventData, eventId } from '../../core/cloud-event.ts';
import type { Batch, Decode, HubEvent } from '../../core/event.ts';
import type { Rejection } from '../../core/sink.ts';
import { sizeText } from '../../core/size-text.ts';
import type { ObjectStore, StoredObject } from './object-store.ts';

/** Two contents of one event differ in it, as an event and the aggregate that replaced it do. */
const KEY_SHA256_DIGITS = 16;

export interface ClaimCheckOptions {
  readonly hubId: string;
  readonly logId: string;
  readonly decode: Decode;
  /** What the sink takes of one event. */
  readonly bytesMax: number;
  /** Undefined: a larger event is a dead letter, and why there is none. */
  readonly store: ObjectStore | undefined;
  readonly whyNoStore: string;
}

/** What is left of a batch for the sink, and what has to be stored before it is sent. */
export interface Checked {
  readonly batch: Batch;
  /** Of each event of `batch`, its index in the batch before. */
  readonly indices: readonly number[];
  readonly objects: readonly (StoredObject & { readonly index: number })[];
  /** By their index in the batch before. */
  readonly rejected: readonly Rejection[];
}

export type BytesAbove = (event: HubEvent, bytesMax: number, batch: Batch) => number | undefined;

/** Puts references in the place of data that is too large. Computes only; nothing is stored yet. */
export function checked(batch: Batch, bytesAbove: BytesAbove, options: ClaimCheckOptions): Checked {
  const events: HubEvent[] = [];
  const indices: number[] = [];
  const objects: (StoredObject & { index: number })[] = [];
  const rejected: Rejection[] = [];
  const { bytesMax, store, whyNoStore } = options;
  const keep = (event: HubEvent, index: number) => {
    events.push(event);
    indices.push(index);
  };
  for (const [index, event] of batch.events.entries()) {
    const bytes = bytesAbove(event, bytesMax, batch);
    if (bytes === undefined) {
      keep(event, index);
      continue;
    }
    const larger = `${sizeText(bytes)} is more than the ${sizeText(bytesMax)} that this sink takes`;
    if (!store) {
      rejected.push({ index, reason: `${larger}; ${whyNoStore}`, unsent: true });
      continue;
    }
    const object = objectOf(event, batch, store, options);
    const { sha256, content, key } = object;
    const reference = { url: store.urlOf(key), bytes: content.length, sha256 };
    const referring = { ...event, payload: event.payload, reference };
    const bytesLeft = bytesAbove(referring, bytesMax, batch);
    if (bytesLeft === undefined) {
      objects.push({ ...object, index });
      keep(referring, index);
    } else {
      const still = `it takes ${sizeText(bytesLeft)} even without its data`;
      rejected.push({ index, reason: `${larger}; ${still}`, unsent: true });
    }
  }
  return { batch: { ...batch, events }, indices, objects, rejected };
}

function objectOf(
  event: HubEvent,
  { replay }: Batch,
  store: ObjectStore,
  { hubId, logId, decode }: ClaimCheckOptions,
): StoredObject {
  const { lane, offset, topic } = event;
  const { type, content } = eventData(event, decode(event));
  const sha256 = createHash('sha256').update(content).digest('hex');
  const name = `${offset}-${sha256.slice(0, KEY_SHA256_DIGITS)}`;
  return {
    key: `${store.prefix}${hubId}/${logId}/${lane}/${name}`,
    content,
    type,
    sha256,
    eventId: eventId(hubId, logId, lane, offset),
    topic,
    ...(replay === undefined ? {} : { replay }),
  };
}
