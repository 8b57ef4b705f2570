/** Appends to a log until it is killed, and prints each number that was acknowledged. */
import { writeSync } from 'node:fs';
import { levelStorage } from '../../hub/log/storage/level-storage.ts';
import { appended, message, openTestLog } from '../support/log-fixture.ts';

const AT_ONCE = 50;

const [folder = '', first = '0'] = process.argv.slice(2);
const log = await openTestLog(levelStorage(folder));
for (let number = Number(first); ; number += AT_ONCE) {
  const group = Array.from({ length: AT_ONCE }, async (_, index) => {
    await appended(log, message(number + index));
    writeSync(1, `${number + index}\n`);
  });
  await Promise.all(group);
}
