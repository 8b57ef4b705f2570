import { randomBytes } from 'node:crypto';
import { LANES } from '../core/event.ts';
import { FORMAT_VERSION } from './block/block-format.ts';
import { metaKey, offsetOfKey } from './keys.ts';
import { headerOf } from './lane-state.ts';
import type { Blocks } from './read/blocks.ts';
import { openRecord, sealRecord } from './record.ts';
import type { Finding, KeyRange, Storage } from './storage/storage.ts';

interface Identity {
  readonly id: string;
  readonly format: number;
}

const KEY = metaKey('identity');
const EVERYTHING: KeyRange = { gte: Buffer.alloc(0), lt: Buffer.from([0xff, 0xff]) };

/**
 * The id of the log; a new log gets one. It is made durable before anything is acknowledged: a new
 * LevelDB that was never synced may not open again.
 *
 * What is there and not ours, or of a newer format, is set aside as a whole: it is not ours to
 * misread, and a hub that does not start helps nobody. `markedId` is the id that the high-water
 * mark knows.
 */
export async function loadIdentity(
  storage: Storage,
  blocks: Blocks,
  markedId: string | undefined,
): Promise<{ readonly id: string; readonly findings: readonly Finding[] }> {
  const known = openRecord<Identity>(await storage.get(KEY));
  if (known?.format === FORMAT_VERSION) return { id: known.id, findings: [] };
  if (known) {
    const problem = `it has format ${known.format}, this hub reads and writes ${FORMAT_VERSION}`;
    const findings = await storage.startOver(problem);
    return { id: await create(storage, undefined), findings };
  }
  if (markedId === undefined && (await isForeign(storage, blocks))) {
    const findings = await storage.startOver('it is not a log of Holdfast');
    return { id: await create(storage, undefined), findings };
  }
  return { id: await create(storage, markedId), findings: [] };
}

async function create(storage: Storage, markedId: string | undefined): Promise<string> {
  const id = markedId ?? randomBytes(5).toString('hex');
  const value = sealRecord({ id, format: FORMAT_VERSION } satisfies Identity);
  await storage.write([{ type: 'put', key: KEY, value }], { sync: true });
  return id;
}

/** Whether there is something, and none of it looks like ours. */
async function isForeign(storage: Storage, blocks: Blocks): Promise<boolean> {
  for (const lane of LANES) {
    const last = await blocks.last(lane, 0, Number.MAX_SAFE_INTEGER);
    if (last && headerOf(lane, offsetOfKey(last[0]), last[1])) return false;
    if (openRecord(await storage.get(metaKey(`lane-${lane}`))) !== undefined) return false;
  }
  for await (const _entry of storage.entries(EVERYTHING)) return true;
  return false;
}
