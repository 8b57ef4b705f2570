import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import type { LogOptions } from '../../hub/log/log-options.ts';
import { markFile } from '../../hub/log/mark.ts';
import { reserveFile } from '../../hub/log/room/reserve.ts';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import type { Storage } from '../../hub/log/storage/storage.ts';
import { openTestLog } from '../support/log-fixture.ts';

export const SINK = 'far';

export interface DataFolder {
  readonly log: DurableLog;
  readonly storage: Storage;
}

/** Opens the log in a data directory as hub/hub.ts does: the same files at the same places. */
export async function openDataFolder(
  folder: string,
  more: Partial<LogOptions> = {},
): Promise<DataFolder> {
  await mkdir(folder, { recursive: true });
  const storage = levelStorage(join(folder, 'log'), { lostFolder: join(folder, 'lost+found') });
  const log = await openTestLog(storage, {
    mark: markFile(join(folder, 'log.mark'), () => {}),
    reserve: reserveFile(join(folder, 'reserve')),
    sinks: [{ id: SINK, start: 'oldest' }],
    ...more,
  });
  return { log, storage };
}
