/** What a crash left at the end of a file: a line that is cut, and events that will come again. */
import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { eventId } from '../../hub/core/cloud-event.ts';
import { LANES, type Lane } from '../../hub/core/event.ts';

const NEWLINE = 10;
const CHUNK_BYTES = 64 * 1024;

/** Length of the file up to the end of its last whole line. */
export async function wholeLinesBytes(handle: FileHandle, sizeBytes: number): Promise<number> {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let end = sizeBytes; end > 0; ) {
    const start = Math.max(0, end - CHUNK_BYTES);
    const { bytesRead } = await handle.read(chunk, 0, end - start, start);
    const newline = chunk.subarray(0, bytesRead).lastIndexOf(NEWLINE);
    if (newline !== -1) return start + newline + 1;
    end = start;
  }
  return 0;
}

/** Offsets of events that are in the files, by lane. */
export type Written = Map<Lane, Set<number>>;

/** Adds the events of `path` from byte `start` on; a line that is cut by it is left out. */
export async function readWritten(
  path: string,
  start: number,
  ids: { readonly hubId: string; readonly logId: string },
  written: Written,
  signal: AbortSignal,
): Promise<void> {
  const beginnings = LANES.map((lane) => {
    const id = JSON.stringify(eventId(ids.hubId, ids.logId, lane, ''));
    return { lane, text: `{"specversion":"1.0","id":${id.slice(0, -1)}` };
  });
  const input = createReadStream(path, { start, signal });
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    const beginning = beginnings.find(({ text }) => line.startsWith(text));
    if (!beginning) continue; // another log, or a file of the user's own
    const { lane, text } = beginning;
    const offset = Number(line.slice(text.length, line.indexOf('"', text.length)));
    const offsets = written.get(lane) ?? new Set();
    written.set(lane, offsets.add(offset));
  }
}
