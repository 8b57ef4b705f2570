import { setImmediate as nextTurn } from 'node:timers/promises';

/** One slice of work on the event loop: 8 ms leaves MQTT clients, timers and the API responsive. */
const SLICE_MS = 8;
/** The clock is read once per so many items: reading it for each would cost as much as the work. */
const ITEMS_PER_CLOCK_READING = 64;

/** `items.map(compute)`, giving way to the event loop every few milliseconds. */
export async function mapInSlices<Item, Result>(
  items: readonly Item[],
  compute: (item: Item, index: number) => Result,
): Promise<Result[]> {
  const results: Result[] = [];
  let sliceStartMs = performance.now();
  for (const [index, item] of items.entries()) {
    results.push(compute(item, index));
    if (results.length % ITEMS_PER_CLOCK_READING !== 0) continue;
    if (performance.now() - sliceStartMs < SLICE_MS) continue;
    await nextTurn();
    sliceStartMs = performance.now();
  }
  return results;
}
