import type { Lane } from '../../core/event.ts';
import { endOf } from '../../core/span.ts';
import { blockKey, blockRange, offsetOfKey } from '../keys.ts';
import { headerOf, type LaneState } from '../lane-state.ts';
import type { Blocks } from '../read/blocks.ts';
import type { Storage, WriteOperation } from '../storage/storage.ts';

/** Put back in one write: as much as a group commit has at most. */
const WRITE_BYTES = 1024 * 1024;

/**
 * Puts blocks back that can be read from files LevelDB has given up, but not from LevelDB itself.
 * Blocks never change, so whichever copy is whole is the right one. Answers how many it were.
 */
export async function salvage(
  storage: Storage,
  blocks: Blocks,
  lanes: Iterable<LaneState>,
  write: (operations: readonly WriteOperation[]) => Promise<unknown>,
): Promise<number> {
  let count = 0;
  for (const { lane, head } of lanes) {
    let operations: WriteOperation[] = [];
    let bytes = 0;
    const put = async () => {
      await write(operations);
      count += operations.length;
      operations = [];
      bytes = 0;
    };
    const range = blockRange(lane, head, Number.MAX_SAFE_INTEGER);
    for await (const [key, value] of storage.salvage(range)) {
      const offset = offsetOfKey(key);
      const sound = headerOf(lane, offset, value) !== undefined;
      if (!sound || (await isCovered(blocks, lane, head, offset))) continue;
      operations.push({ type: 'put', key: blockKey(lane, offset), value });
      bytes += value.length;
      if (bytes >= WRITE_BYTES) await put();
    }
    if (operations.length > 0) await put();
  }
  return count;
}

/** Whether some sound block holds `offset`: a thinned one may begin before it. */
async function isCovered(blocks: Blocks, lane: Lane, head: number, offset: number) {
  const entry = await blocks.last(lane, head, offset + 1);
  const header = entry && headerOf(lane, offsetOfKey(entry[0]), entry[1]);
  return header !== undefined && endOf(header) > offset;
}
