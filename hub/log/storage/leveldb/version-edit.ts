/**
 * A record of a MANIFEST: what changed in the set of tables. All of them together say which tables
 * there are, and which write-ahead log goes on from there.
 */
import { ByteReader, FormatError, slice, varint } from './bytes.ts';

const COMPARATOR = 1;
const LOG_NUMBER = 2;
const NEXT_FILE = 3;
const LAST_SEQUENCE = 4;
const COMPACT_POINTER = 5;
const DELETED_TABLE = 6;
const NEW_TABLE = 7;
const PREVIOUS_LOG = 9;

export const COMPARATOR_NAME = 'leveldb.BytewiseComparator';
export const LEVELS = 7;

export interface TableFacts {
  readonly number: number;
  readonly bytes: number;
  readonly level: number;
  /** Keys as tables hold them: with sequence and type (see table-block.ts). */
  readonly smallest: Buffer;
  readonly largest: Buffer;
}

export interface VersionState {
  readonly comparator: string;
  readonly logNumber: number;
  readonly nextFile: number;
  readonly lastSequence: number;
  readonly tables: ReadonlyMap<number, TableFacts>;
}

/** Puts the records of a MANIFEST together. */
export class Versions {
  comparator: string | undefined;
  logNumber: number | undefined;
  nextFile: number | undefined;
  lastSequence: number | undefined;
  readonly tables = new Map<number, TableFacts>();

  /** Errors: FormatError. */
  apply(record: Buffer): void {
    const reader = new ByteReader(record);
    const added: TableFacts[] = [];
    while (!reader.done) {
      const tag = reader.varint();
      if (tag === COMPARATOR) this.comparator = reader.slice().toString();
      else if (tag === LOG_NUMBER) this.logNumber = reader.varint();
      else if (tag === NEXT_FILE) this.nextFile = reader.varint();
      else if (tag === LAST_SEQUENCE) this.lastSequence = reader.varint();
      else if (tag === PREVIOUS_LOG) reader.varint();
      else if (tag === COMPACT_POINTER) {
        readLevel(reader);
        reader.slice();
      } else if (tag === DELETED_TABLE) {
        const level = readLevel(reader);
        const number = reader.varint();
        // a move to another level deletes and adds the same table in one record
        if (this.tables.get(number)?.level === level) this.tables.delete(number);
      } else if (tag === NEW_TABLE) {
        const level = readLevel(reader);
        const [number, bytes] = [reader.varint(), reader.varint()];
        added.push({ level, number, bytes, smallest: reader.slice(), largest: reader.slice() });
      } else throw new FormatError(`tag ${tag} is unknown`);
    }
    for (const table of added) this.tables.set(table.number, table);
  }

  /** Undefined while something is missing without which LevelDB does not open. */
  get state(): VersionState | undefined {
    const { comparator, logNumber, nextFile, lastSequence, tables } = this;
    if (comparator === undefined || logNumber === undefined) return undefined;
    if (nextFile === undefined || lastSequence === undefined) return undefined;
    return { comparator, logNumber, nextFile, lastSequence, tables };
  }
}

function readLevel(reader: ByteReader): number {
  const level = reader.varint();
  if (level >= LEVELS) throw new FormatError(`level ${level} is unknown`);
  return level;
}

/** The whole state as one record. */
export function writeState(state: VersionState): Buffer {
  const parts = [varint(COMPARATOR), slice(Buffer.from(state.comparator))];
  parts.push(varint(LOG_NUMBER), varint(state.logNumber));
  parts.push(varint(NEXT_FILE), varint(state.nextFile));
  parts.push(varint(LAST_SEQUENCE), varint(state.lastSequence));
  for (const { level, number, bytes, smallest, largest } of state.tables.values()) {
    parts.push(varint(NEW_TABLE), varint(level), varint(number), varint(bytes));
    parts.push(slice(smallest), slice(largest));
  }
  return Buffer.concat(parts);
}
