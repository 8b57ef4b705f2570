import { setImmediate as nextTurn } from 'node:timers/promises';

/** One slice of work on the event loop: 4 ms leaves MQTT clients, timers and the API responsive. */
const SLICE_MS = 4;
/** What slices may take of the thread while others need it: devices that publish come first. */
const SHARE = 0.3;
/** A turn of the event loop that takes less has nothing to do for anybody else. */
const IDLE_TURN_MS = 0.2;
/** The clock is read once per so many items: reading it for each would cost as much as the work. */
const ITEMS_PER_CLOCK_READING = 64;

/** After `spentMs` of work: until others have had their share of the thread, or need none of it. */
async function giveWay(spentMs: number): Promise<void> {
  let owedMs = spentMs * (1 / SHARE - 1);
  while (owedMs > 0) {
    const startMs = performance.now();
    await nextTurn();
    const turnMs = performance.now() - startMs;
    if (turnMs < IDLE_TURN_MS) return;
    owedMs -= turnMs;
  }
}

/** So many texts are put together before they become bytes: long enough, and soon garbage. */
const TEXTS_PER_CHUNK = 64;

/**
 * The texts of all items one after another, with `separator` between them, as UTF-8. Gives way to
 * the event loop every few milliseconds. What has become bytes is of no concern to the garbage
 * collector any more.
 */
export async function utf8InSlices<Item>(
  items: readonly Item[],
  textOf: (item: Item, index: number) => string,
  frame: { readonly before: string; readonly between: string; readonly after: string },
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sliceStartMs = performance.now();
  let text = frame.before;
  for (const [index, item] of items.entries()) {
    text += textOf(item, index);
    if (index < items.length - 1) text += frame.between;
    if ((index + 1) % TEXTS_PER_CHUNK !== 0) continue;
    chunks.push(Buffer.from(text));
    text = '';
    if (performance.now() - sliceStartMs < SLICE_MS) continue;
    await giveWay(performance.now() - sliceStartMs);
    sliceStartMs = performance.now();
  }
  chunks.push(Buffer.from(text + frame.after));
  return Buffer.concat(chunks);
}

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
    await giveWay(performance.now() - sliceStartMs);
    sliceStartMs = performance.now();
  }
  return results;
}
