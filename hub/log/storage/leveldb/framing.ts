/**
 * The framing of LevelDB's write-ahead log and MANIFEST: 32 KiB pages of fragments, each with its
 * checksum; one record is one fragment (`full`) or several (`first`, `middle`, `last`).
 *
 *   u32 masked CRC-32C of type and data | u16 length | u8 type | data
 *
 * Invariants:
 * - a record is handed out only when every fragment of it has a good checksum;
 * - a damaged fragment costs its own record: where its length leads to another good fragment, that
 *   length is believed; else the rest of the page is searched for a chain of good fragments that
 *   ends where the page ends. LevelDB gives up the whole rest of the page;
 * - what a power cut leaves at the end (half a record, zeros) is `torn`, not damage.
 */
import { crc32c, maskCrc } from './crc32c.ts';

const PAGE_BYTES = 32 * 1024;
const HEADER_BYTES = 7;
const FULL = 1;
const FIRST = 2;
const MIDDLE = 3;
const LAST = 4;
/** A last record that ends in so many zeros was never written to its end. */
const TORN_ZEROS = 16;

export interface FramedRecord {
  readonly offset: number;
  readonly data: Buffer;
}

/** A range of a file that cannot be read. */
export interface Spot {
  readonly offset: number;
  readonly bytes: number;
  readonly problem: string;
}

export interface FramedFile {
  readonly records: readonly FramedRecord[];
  readonly damage: readonly Spot[];
  /** Where an incomplete end begins. */
  readonly tornAt: number | undefined;
}

interface Fragment {
  readonly offset: number;
  readonly type: number;
  readonly data: Buffer;
}

/** Where the page that `at` lies in ends. */
function pageEnd(file: Buffer, at: number): number {
  return Math.min((Math.floor(at / PAGE_BYTES) + 1) * PAGE_BYTES, file.length);
}

/** Where fragments of the page end: fewer than seven bytes at its end are filled up. */
function skipTrailer(file: Buffer, at: number): number {
  const end = pageEnd(file, at);
  return end - at < HEADER_BYTES && end % PAGE_BYTES === 0 ? end : at;
}

function fragmentAt(file: Buffer, at: number): Fragment | undefined {
  if (at + HEADER_BYTES > file.length) return undefined;
  const type = file[at + 6] ?? 0;
  const end = at + HEADER_BYTES + file.readUInt16LE(at + 4);
  if (type < FULL || type > LAST || end > pageEnd(file, at)) return undefined;
  if (file.readUInt32LE(at) !== maskCrc(crc32c(file, at + 6, end))) return undefined;
  return { offset: at, type, data: file.subarray(at + HEADER_BYTES, end) };
}

/** Good fragments one after another, from `at` to where the page ends. */
function chainReachesEnd(file: Buffer, at: number): boolean {
  const end = pageEnd(file, at);
  let next = at;
  while (next < end) {
    const fragment = fragmentAt(file, next);
    if (!fragment) return end - next < HEADER_BYTES && next > at;
    next += HEADER_BYTES + fragment.data.length;
  }
  return true;
}

/** The next place from which the page can be read again, after a bad fragment at `at`. */
function resynchronise(file: Buffer, at: number): number {
  const end = pageEnd(file, at);
  if (at + HEADER_BYTES <= file.length) {
    const next = at + HEADER_BYTES + file.readUInt16LE(at + 4);
    const type = file[at + 6] ?? 0;
    if (type !== 0 && next < end && fragmentAt(file, next)) return next;
    if (type !== 0 && next === end && end % PAGE_BYTES === 0) return next;
  }
  for (let next = at + 1; next + HEADER_BYTES <= end; next++) {
    if (fragmentAt(file, next) && chainReachesEnd(file, next)) return next;
  }
  return end;
}

/** Where the zeros at the end of a file begin: never written, or not to the card. */
function zerosAtEnd(file: Buffer): number {
  let at = file.length;
  while (at > 0 && file[at - 1] === 0) at--;
  return at;
}

/** Whether what cannot be read in `[at, next)` looks like a write that was cut off. */
function looksTorn(file: Buffer, at: number, next: number, zerosFrom: number): boolean {
  if (next >= file.length) {
    if (at + HEADER_BYTES > file.length) return true;
    const end = at + HEADER_BYTES + file.readUInt16LE(at + 4);
    if (end > file.length) return (file[at + 6] ?? 0) <= LAST;
  }
  return zerosFrom + TORN_ZEROS <= file.length && zerosFrom < next;
}

/** Collects fragments to records, and damage to spots. */
class Assembly {
  readonly records: FramedRecord[] = [];
  readonly damage: Spot[] = [];
  #parts: Fragment[] = [];

  /** `next` is where the file goes on after the fragment. */
  add(fragment: Fragment, next: number): void {
    const { type, offset, data } = fragment;
    const first = this.#parts[0];
    if (type === FULL || type === FIRST) {
      // an empty first fragment is what older writers left at the end of a page
      if (first && (this.#parts.length > 1 || first.data.length > 0)) this.broken(offset);
      this.#parts = [];
      if (type === FIRST) this.#parts.push(fragment);
      else this.records.push({ offset, data });
    } else if (!first) {
      this.spot(offset, next, 'a record without its beginning');
    } else {
      this.#parts.push(fragment);
      if (type === MIDDLE) return;
      const parts = this.#parts.map((part) => part.data);
      this.records.push({ offset: first.offset, data: Buffer.concat(parts) });
      this.#parts = [];
    }
  }

  /** The record that is being put together has no end; the file goes on at `next`. */
  broken(next: number): void {
    const first = this.#parts[0];
    this.#parts = [];
    if (first) this.spot(first.offset, next, 'a record without its end');
  }

  spot(offset: number, end: number, problem: string): void {
    const last = this.damage.at(-1);
    if (last && last.offset + last.bytes >= offset) {
      this.damage[this.damage.length - 1] = { ...last, bytes: end - last.offset };
    } else {
      this.damage.push({ offset, bytes: end - offset, problem });
    }
  }

  /** Where an unfinished record begins. */
  get openAt(): number | undefined {
    return this.#parts[0]?.offset;
  }
}

/** Everything that can be read in a file of this framing, and what cannot. */
export function readFramed(file: Buffer): FramedFile {
  const assembly = new Assembly();
  const { records, damage } = assembly;
  const zerosFrom = zerosAtEnd(file);
  for (let at = skipTrailer(file, 0); at < file.length; at = skipTrailer(file, at)) {
    const fragment = fragmentAt(file, at);
    if (fragment) {
      const next = at + HEADER_BYTES + fragment.data.length;
      assembly.add(fragment, next);
      at = next;
      continue;
    }
    const next = resynchronise(file, at);
    if (looksTorn(file, at, next, zerosFrom)) {
      return { records, damage, tornAt: assembly.openAt ?? at };
    }
    const from = assembly.openAt ?? at;
    assembly.broken(at);
    assembly.spot(from, next, 'a checksum does not match');
    at = next;
  }
  return { records, damage, tornAt: assembly.openAt };
}

/** Puts records into the framing; the result is a whole file. */
export function writeFramed(records: Iterable<Buffer>): Buffer {
  const parts: Buffer[] = [];
  let room = PAGE_BYTES;
  for (const record of records) {
    let at = 0;
    do {
      if (room < HEADER_BYTES) {
        parts.push(Buffer.alloc(room));
        room = PAGE_BYTES;
      }
      const end = Math.min(record.length, at + room - HEADER_BYTES);
      const [begins, ends] = [at === 0, end === record.length];
      const type = begins ? (ends ? FULL : FIRST) : ends ? LAST : MIDDLE;
      const header = Buffer.allocUnsafe(HEADER_BYTES);
      header.writeUInt16LE(end - at, 4);
      header[6] = type;
      header.writeUInt32LE(maskCrc(crc32c(record, at, end, crc32c(header, 6))), 0);
      parts.push(header, record.subarray(at, end));
      room -= HEADER_BYTES + end - at;
      at = end;
    } while (at < record.length);
  }
  return Buffer.concat(parts);
}
