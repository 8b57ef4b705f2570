import { Level } from 'level';

/**
 * What a simple store would do: one LevelDB record an event, fsynced each. Runs until it is killed,
 * and says every second how many it has stored.
 *
 *   one-by-one FOLDER RATE PAYLOAD_BYTES
 */
const [folder = '', rateText, bytesText] = process.argv.slice(2);
const rate = Number(rateText);
const payload = Buffer.alloc(Number(bytesText), 0x78);
const database = new Level<string, Buffer>(folder, { valueEncoding: 'buffer' });
await database.open();
const startedMs = performance.now();
let count = 0;
setInterval(() => process.stdout.write(`${count}\n`), 1_000);
for (; ; count++) {
  const dueMs = startedMs + (count * 1000) / rate;
  const waitMs = dueMs - performance.now();
  if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
  await database.put(String(count).padStart(12, '0'), payload, { sync: true });
}
