import type { LaneState } from '../lane-state.ts';
import type { Blocks } from '../read/blocks.ts';
import type { WriteOperation } from '../storage/storage.ts';

/** Deletions in one write: a bounded piece of memory. */
const REMOVED_AT_ONCE = 1_000;

/**
 * Deletes blocks that lie before the head. A trim is not synced, and when LevelDB begins a new log
 * file it does not sync the old one: a power cut may take the deletions and leave the head that
 * belongs to them. An older state that came to light again has them too.
 */
export async function removeLeftovers(
  lanes: Iterable<LaneState>,
  blocks: Blocks,
  write: (operations: readonly WriteOperation[]) => Promise<unknown>,
): Promise<void> {
  for (const { lane, head } of lanes) {
    let operations: WriteOperation[] = [];
    for await (const [key] of blocks.entries(lane, 0, head)) {
      operations.push({ type: 'del', key });
      if (operations.length < REMOVED_AT_ONCE) continue;
      await write(operations);
      operations = [];
    }
    if (operations.length > 0) await write(operations);
  }
}
