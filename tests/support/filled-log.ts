import type { Lane, Message } from '../../hub/core/event.ts';
import { BlockBuilder } from '../../hub/log/block/block-body.ts';
import { sealBlock } from '../../hub/log/block/block-format.ts';
import { blockKey } from '../../hub/log/keys.ts';
import type { Storage, WriteOperation } from '../../hub/log/storage/storage.ts';
import type { FakeClock } from './fake-clock.ts';

export interface Filling {
  readonly blocks: number;
  readonly eventsPerBlock: number;
  readonly clock: FakeClock;
  /** How far the clock moves after each event. */
  stepMs(event: number): number;
  message(event: number): Message;
  readonly lane?: Lane;
}

/** Blocks in one write. */
const BLOCKS_PER_WRITE = 500;

/**
 * Writes the blocks of a long past into a storage that no log has used yet: as the log would have
 * written them, but a million events take seconds.
 */
export async function fillStorage(storage: Storage, filling: Filling): Promise<void> {
  const { blocks, eventsPerBlock, clock, stepMs, message, lane = 'normal' } = filling;
  await storage.open();
  let operations: WriteOperation[] = [];
  let bytesBefore = 0;
  for (let block = 0; block < blocks; block++) {
    const builder = new BlockBuilder();
    const first = block * eventsPerBlock;
    for (let event = first; event < first + eventsPerBlock; event++) {
      builder.add(message(event), clock);
      clock.advance(stepMs(event));
    }
    const { count, firstReceivedMs, lastReceivedMs, firstMonotonicMs, clockSynced } = builder;
    const times = { firstReceivedMs, lastReceivedMs, firstMonotonicMs, clockSynced };
    const facts = { lane, count, ...times, bootId: clock.bootId };
    const value = (await sealBlock(builder.body(), facts))(first, bytesBefore);
    bytesBefore += value.length;
    operations.push({ type: 'put', key: blockKey(lane, first), value });
    if (operations.length < BLOCKS_PER_WRITE && block < blocks - 1) continue;
    await storage.write(operations, { sync: false });
    operations = [];
  }
  await storage.close();
}
