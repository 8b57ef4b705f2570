import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import { eventLogContract } from '../contract/event-log.ts';
import { afterTest } from '../support/after-test.ts';
import { openTestLog } from '../support/log-fixture.ts';
import { MemoryLog } from '../support/memory-log.ts';

eventLogContract({
  name: 'the durable log on LevelDB',
  async open(t) {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-log-'));
    const log = await openTestLog(levelStorage(folder));
    afterTest(t, async () => {
      await log.close();
      await rm(folder, { recursive: true });
    });
    return log;
  },
});

eventLogContract({ name: 'the log in memory of the tests', open: async () => new MemoryLog() });
