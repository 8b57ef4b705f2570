/**
 * What a disk may hold after a power cut: everything before a flush, and of what came after it, up
 * to the next flush, any part: a disk with a cache writes in the order it likes. Parts are whole
 * requests, pages of 4 KiB or sectors, which is all that a disk writes at once.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { copyImage } from './disk-image.ts';
import { type LoggedWrite, SECTOR_BYTES, type WriteLog } from './write-log.ts';

const PART_BYTES = [Number.POSITIVE_INFINITY, 4096, SECTOR_BYTES] as const;

/** Makes images of such moments, in the order of their flushes. */
export class CrashStates {
  readonly #log: WriteLog;
  readonly #durableImage: string;
  #applied = 0;

  /** `durableImage` is a copy of the disk before the first write; it is changed. */
  constructor(log: WriteLog, durableImage: string) {
    this.#log = log;
    this.#durableImage = durableImage;
  }

  /**
   * The disk when the power went after `flush`. `flush` may not be before that of the last call.
   */
  build(flush: number, random: () => number, image: string): void {
    const { writes, flushes } = this.#log;
    const durable = flushes[flush]?.writes ?? 0;
    if (durable < this.#applied) throw new Error('states have to be built in order');
    this.#write(this.#durableImage, writes.slice(this.#applied, durable), (data) => [[0, data]]);
    this.#applied = durable;
    copyImage(this.#durableImage, image);
    const partBytes = PART_BYTES[Math.floor(random() * PART_BYTES.length)] ?? SECTOR_BYTES;
    const share = random();
    const cached = writes.slice(durable, flushes[flush + 1]?.writes);
    this.#write(image, cached, (data) => partsOf(data, partBytes).filter(() => random() < share));
  }

  #write(
    image: string,
    writes: readonly LoggedWrite[],
    choose: (data: Buffer) => readonly (readonly [at: number, data: Buffer])[],
  ): void {
    const file = openSync(image, 'r+');
    try {
      for (const write of writes)
        for (const [at, data] of choose(this.#log.data(write)))
          writeSync(file, data, 0, data.length, write.diskAt + at);
    } finally {
      closeSync(file);
    }
  }
}

function partsOf(data: Buffer, partBytes: number): [at: number, data: Buffer][] {
  const parts: [number, Buffer][] = [];
  for (let at = 0; at < data.length; at += partBytes)
    parts.push([at, data.subarray(at, Math.min(at + partBytes, data.length))]);
  return parts;
}

/**
 * LevelDB begins a new file of its log, and goes on syncing that, this many flushes before the
 * table that replaces the old file is whole: 20 to 40 here. What the old file had unsynced can
 * vanish then.
 */
const TABLE_FLUSHES = 40;

/**
 * `count` flushes before `end`, in ascending order: a third from the creation of the store (before
 * `created`), a third anywhere, a third at and before where most is written between two flushes,
 * which is where LevelDB makes tables and ext4 its journal.
 */
export function chooseFlushes(
  log: WriteLog,
  { created, end, count }: { created: number; end: number; count: number },
  random: () => number,
): number[] {
  const weights = log.flushes
    .slice(0, end)
    .map(({ writes }, index) => (log.flushes[index + 1]?.writes ?? log.writes.length) - writes);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const weighted = (): number => {
    let left = random() * total;
    const found = weights.findIndex((weight) => {
      left -= weight;
      return left < 0;
    });
    return Math.max(0, found - Math.floor(random() * TABLE_FLUSHES));
  };
  const choices = [
    () => Math.floor(random() * created),
    () => Math.floor(random() * end),
    weighted,
  ];
  return Array.from({ length: count }, (_, index) => choices[index % choices.length]?.() ?? 0).sort(
    (a, b) => a - b,
  );
}
