/**
 * A sink whose far side takes events up to a size. The data of a larger one is put into object
 * storage, and the event carries the reference.
 *
 * Invariants:
 * - an event is sent only after its object is stored, so a reference never leads nowhere;
 * - a failure of the storage is thrown like one of the link: the batch waits, no event is to blame;
 * - `encode` only computes; what it made may be sent any number of times.
 */
import { HubError } from '../../core/errors.ts';
import type { Batch } from '../../core/event.ts';
import type { Connection, Delivery, Rejection, Sink } from '../../core/sink.ts';
import { type BytesAbove, type Checked, type ClaimCheckOptions, checked } from './claim-check.ts';
import type { ObjectUploads, StoredObject } from './object-store.ts';

/** Each is in memory anyway; two hide the round trip of the other. */
const UPLOADS_AT_ONCE = 2;

/** About what a signed PUT and its answer weigh besides the content. */
const REQUEST_BYTES = 1_200;

export interface Claimed {
  readonly checked: Checked;
  /** Undefined when nothing is left to send. */
  readonly encoded: { readonly value: unknown } | undefined;
}

export class ClaimCheckedSink implements Sink<Claimed> {
  readonly #sink: Sink;
  readonly #options: ClaimCheckOptions;
  readonly #bytesAbove: BytesAbove;
  readonly #uploads: ObjectUploads | undefined;
  /** With what is stored; absent when the sink itself has none. */
  readonly sizeOf?: (claimed: Claimed) => number;
  /** The same. */
  readonly wireBytes?: () => number;

  /** `bytesAbove` is that of `sink`. */
  constructor(sink: Sink, bytesAbove: BytesAbove, options: ClaimCheckOptions) {
    this.#sink = sink;
    this.#options = options;
    this.#bytesAbove = bytesAbove;
    const uploads = options.store?.open();
    this.#uploads = uploads;
    const { sizeOf, wireBytes } = sink;
    if (sizeOf)
      this.sizeOf = ({ checked: { objects }, encoded }) =>
        (encoded ? sizeOf.call(sink, encoded.value) : 0) + sizeOfObjects(objects);
    if (wireBytes) this.wireBytes = () => wireBytes.call(sink) + (uploads?.wireBytes() ?? 0);
  }

  connect(signal: AbortSignal): Promise<Connection> {
    return this.#sink.connect(signal);
  }

  async encode(batch: Batch): Promise<Claimed> {
    const parts = checked(batch, this.#bytesAbove, this.#options);
    const left = parts.batch.events.length > 0;
    const encoded = left ? { value: await this.#sink.encode(parts.batch) } : undefined;
    return { checked: parts, encoded };
  }

  async send({ checked: parts, encoded }: Claimed, signal: AbortSignal): Promise<Delivery> {
    signal.throwIfAborted();
    const uploads = this.#uploads;
    const refused = uploads ? await storeAll(uploads, parts.objects, signal) : [];
    if (refused.length > 0) return await this.#withoutRefused(parts, refused, signal);
    const { rejected, indices } = parts;
    if (!encoded) return { rejected, retry: [] };
    const delivery = await this.#sink.send(encoded.value, signal);
    return {
      rejected: [
        ...rejected,
        ...delivery.rejected.map((rejection) => ({
          ...rejection,
          index: indices[rejection.index] ?? rejection.index,
        })),
      ],
      retry: delivery.retry.map((index) => indices[index] ?? index),
    };
  }

  close(signal: AbortSignal): Promise<void> {
    this.#uploads?.close();
    return this.#sink.close(signal);
  }

  /** Sends what is left when the storage will never take some of the objects. */
  async #withoutRefused(
    parts: Checked,
    refused: readonly Rejection[],
    signal: AbortSignal,
  ): Promise<Delivery> {
    const gone = new Set(refused.map(({ index }) => index));
    const left = parts.indices.flatMap((index, i) => {
      const event = parts.batch.events[i];
      return event && !gone.has(index) ? [{ event, index }] : [];
    });
    const batch = { ...parts.batch, events: left.map(({ event }) => event) };
    const encoded = left.length > 0 ? { value: await this.#sink.encode(batch) } : undefined;
    const indices = left.map(({ index }) => index);
    const rejected = [...parts.rejected, ...refused];
    return await this.send({ checked: { batch, indices, objects: [], rejected }, encoded }, signal);
  }
}

function sizeOfObjects(objects: readonly StoredObject[]): number {
  return objects.reduce((sum, { content }) => sum + content.length + REQUEST_BYTES, 0);
}

/**
 * Answers which of the objects will never be taken. Throws what keeps the others from being stored;
 * those that are stored by then are remembered by the store, so that the next try is shorter.
 */
async function storeAll(
  uploads: ObjectUploads,
  objects: readonly (StoredObject & { readonly index: number })[],
  signal: AbortSignal,
): Promise<Rejection[]> {
  const refused: Rejection[] = [];
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const queue = [...objects];
  const work = async (): Promise<void> => {
    for (let object = queue.shift(); object; object = queue.shift()) {
      try {
        await uploads.put(object, either);
      } catch (error) {
        if (!(error instanceof HubError) || error.code !== 'SINK_REJECTED') {
          failed.abort(error); // the first failure counts, and ends the other upload
          return;
        }
        refused.push({ index: object.index, reason: error.message, unsent: true });
      }
    }
  };
  await Promise.all(Array.from({ length: UPLOADS_AT_ONCE }, work));
  signal.throwIfAborted();
  failed.signal.throwIfAborted();
  return refused;
}
