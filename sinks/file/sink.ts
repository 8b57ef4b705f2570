/**
 * Invariants:
 * - A batch is delivered only after `fdatasync`. `#synced` is the length on stable storage.
 * - Whatever lies beyond that after an error is cut off before anything is written again, so a line
 *   is never glued to a torn one, and what a failed sync may have lost is written again.
 * - An event that a crash left behind in the files is not written a second time, unless it is
 *   replayed.
 */
import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { cloudEventBatchEncoder } from '../../hub/core/cloud-event.ts';
import { describeError, HubError } from '../../hub/core/errors.ts';
import type { Batch, HubEvent, Lane } from '../../hub/core/event.ts';
import { cloudEventBytesAbove } from '../../hub/core/event-size.ts';
import {
  type Connection,
  DELIVERED,
  type Delivery,
  type Sink,
  type SinkContext,
} from '../../hub/core/sink.ts';
import { mapInSlices } from '../../hub/core/slices.ts';
import { activePath, closeActive, closedFiles, syncFolder, tidyFolder } from './folder.ts';
import type { FileSinkOptions } from './spec.ts';
import { readWritten, type Written, wholeLinesBytes } from './tail.ts';

/** Where events that come again after a crash are looked for: the last 40,000 or so. */
const LOOK_BACK_BYTES = 16 * 1024 * 1024;

interface EncodedBatch {
  readonly lane: Lane;
  readonly replay: boolean;
  readonly retry: boolean;
  readonly offsets: readonly number[];
  readonly lines: readonly string[];
}

interface OpenFile {
  readonly handle: FileHandle;
  readonly inode: number;
  readonly bornMs: number;
}

const REFUSED: ReadonlySet<string> = new Set([
  'EACCES',
  'EEXIST', // the folder's name belongs to a file
  'EISDIR',
  'ENOTDIR',
  'EPERM',
  'EROFS',
]);

function fileError(cause: unknown, path: string): HubError {
  if (cause instanceof HubError) return cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (REFUSED.has(code))
    return new HubError('SINK_REFUSED', `${path} cannot be written`, { cause });
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  const message = full ? `no room left for ${path}` : `${path} could not be written`;
  return new HubError('SINK_DISCONNECTED', message, { cause });
}

/** Settles with `work`, or with the signal's reason: a system call on a dead volume can hang. */
async function orAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Appends CloudEvents to files in a folder, one a line. */
export class FileSink implements Sink<EncodedBatch> {
  readonly #options: FileSinkOptions;
  readonly #context: SinkContext;
  readonly #folder: string;
  readonly #name: string;
  readonly #path: string;
  readonly #encoderFor: (batch: Batch) => (event: HubEvent) => string;
  #file: OpenFile | undefined;
  /** Of the file with this inode; kept over an error, unlike the file. */
  #synced: { readonly inode: number; readonly bytes: number } | undefined;
  #written: Written = new Map();
  /** The last work on the file; it may outlive the call that was aborted. */
  #work: Promise<unknown> = Promise.resolve();
  #tidying: Promise<void> | undefined;
  #stopTidying = new AbortController();

  constructor(options: FileSinkOptions, context: SinkContext) {
    this.#options = options;
    this.#context = context;
    this.#folder = resolve(context.dataDir, options.path);
    this.#name = encodeURIComponent(context.id);
    this.#path = activePath(this.#folder, this.#name);
    this.#encoderFor = cloudEventBatchEncoder({ ...context, content: options.content });
  }

  async connect(signal: AbortSignal): Promise<Connection> {
    await this.#exclusive(signal, async () => {
      await this.#closeFile();
      await mkdir(this.#folder, { recursive: true });
      await this.#openFile();
      await this.#lookBack(signal);
    });
    this.#startTidying();
    return {};
  }

  async encode(batch: Batch): Promise<EncodedBatch> {
    const lines = await mapInSlices(batch.events, this.#encoderFor(batch));
    const offsets = batch.events.map(({ offset }) => offset);
    const [replay, retry] = [batch.replay !== undefined, batch.retry !== undefined];
    return { lane: batch.lane, replay, retry, offsets, lines };
  }

  bytesAbove(event: HubEvent, bytesMax: number, batch: Batch): number | undefined {
    return cloudEventBytesAbove(event, bytesMax, this.#encoderFor(batch), this.#options);
  }

  async send(encoded: EncodedBatch, signal: AbortSignal): Promise<Delivery> {
    await this.#exclusive(signal, async () => {
      const lines = this.#unwritten(encoded);
      if (lines.length === 0) return;
      const content = Buffer.from(`${lines.join('\n')}\n`);
      await this.#rotateFor(content.length);
      await this.#append(content);
    });
    return DELIVERED;
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#stopTidying.abort();
    const closing = this.#work.then(() => this.#closeFile());
    this.#work = closing.catch(() => {});
    try {
      await orAbort(Promise.all([closing, this.#tidying]), signal);
    } catch (cause) {
      if (signal.aborted) throw signal.reason;
      throw fileError(cause, this.#path);
    }
  }

  /** Runs `work` after what an aborted call may have left running. Any error closes the file. */
  async #exclusive(signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    const run = this.#work.then(async () => {
      signal.throwIfAborted();
      await work();
    });
    this.#work = run.catch(() => this.#closeFile()).catch(() => {});
    try {
      await orAbort(run, signal);
    } catch (cause) {
      // An aborted write goes on: nothing may be written after it before `connect` has cut it off.
      if (signal.aborted) {
        this.#work = this.#work.then(() => this.#closeFile()).catch(() => {});
        throw signal.reason;
      }
      throw fileError(cause, this.#path);
    }
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.handle.close();
  }

  /** Opens or makes the file, and cuts off what was not finished. */
  async #openFile(): Promise<void> {
    const { O_APPEND, O_CREAT, O_RDWR } = constants;
    const handle = await open(this.#path, O_APPEND | O_CREAT | O_RDWR, 0o640);
    try {
      const { ino: inode, size, birthtimeMs } = await handle.stat();
      const synced = this.#synced?.inode === inode ? this.#synced.bytes : undefined;
      const keep =
        synced !== undefined && synced <= size ? synced : await wholeLinesBytes(handle, size);
      if (keep < size) {
        await handle.truncate(keep);
        const cut = { path: this.#path, bytes: size - keep };
        this.#context.logger.warn(cut, 'Cut off an unfinished write at the end of the file.');
      }
      // What an earlier process wrote may still be in memory only, and will be taken as written.
      await handle.sync();
      await syncFolder(this.#folder);
      this.#synced = { inode, bytes: keep };
      this.#file = {
        handle,
        inode,
        bornMs: size > 0 && birthtimeMs > 0 ? birthtimeMs : Date.now(),
      };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async #lookBack(signal: AbortSignal): Promise<void> {
    this.#written = new Map();
    const bytes = this.#synced?.bytes ?? 0;
    const closed = (await closedFiles(this.#folder, this.#name)).at(-1);
    if (bytes < LOOK_BACK_BYTES && closed && !closed.compressed) {
      const { size } = await stat(closed.path);
      const start = Math.max(0, size - (LOOK_BACK_BYTES - bytes));
      await readWritten(closed.path, start, this.#context, this.#written, signal);
    }
    const start = Math.max(0, bytes - LOOK_BACK_BYTES);
    await readWritten(this.#path, start, this.#context, this.#written, signal);
  }

  /** The lines of a batch that are in no file yet. */
  #unwritten({ lane, replay, retry, offsets, lines }: EncodedBatch): readonly string[] {
    const written = this.#written.get(lane);
    if (!written || replay) return lines; // asked for although they may be there
    const missing = lines.filter((_, index) => !written.has(offsets[index] ?? -1));
    // Batches ascend, but for dead letters that are sent again: once one is all new, what was sent
    // again after the crash is through.
    if (missing.length === lines.length && !retry) this.#written.delete(lane);
    return missing;
  }

  async #rotateFor(bytes: number): Promise<void> {
    const size = this.#synced?.bytes ?? 0;
    if (!this.#file || size === 0) return;
    const { bytes_max, age_max } = this.#options.rotate;
    if (size + bytes <= bytes_max && Date.now() - this.#file.bornMs < age_max) return;
    await this.#closeFile();
    await closeActive(this.#folder, this.#name);
    await this.#openFile();
    this.#startTidying();
  }

  async #append(content: Buffer): Promise<void> {
    const { handle, inode } = this.#openedFile();
    if ((await stat(this.#path)).ino !== inode)
      throw new HubError('SINK_DISCONNECTED', `${this.#path} was replaced by another file`);
    await handle.writeFile(content);
    await handle.datasync();
    this.#synced = { inode, bytes: (this.#synced?.bytes ?? 0) + content.length };
  }

  #openedFile(): OpenFile {
    if (!this.#file) throw new HubError('SINK_DISCONNECTED', `${this.#path} is not open`);
    return this.#file;
  }

  /** Runs beside the batches, one at a time: closed files are never written again. */
  #startTidying(): void {
    if (this.#tidying !== undefined) return;
    this.#stopTidying = new AbortController();
    const { signal } = this.#stopTidying;
    const { rotate, compression } = this.#options;
    const options = { filesMax: rotate.files_max, compress: compression === 'gzip' };
    this.#tidying = tidyFolder(this.#folder, this.#name, options, signal)
      .catch((error: unknown) => {
        if (signal.aborted) return;
        const details = { path: this.#folder, error: describeError(error) };
        this.#context.logger.warn(details, 'Closed files could not be deleted or compressed.');
      })
      .finally(() => {
        this.#tidying = undefined;
      });
  }
}
