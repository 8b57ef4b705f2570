import type {
  Entry,
  Finding,
  KeyRange,
  Storage,
  WriteOperation,
} from '../../hub/log/storage/storage.ts';

/**
 * A disk in memory that can lose power: what was not synced is gone, and whoever still holds the
 * old handle never hears from it again.
 */
export class MemoryDisk {
  #synced = new Map<string, Buffer>();
  #current = new Map<string, Buffer>();
  #life = 0;

  /** A handle on the disk, not open yet. */
  storage(): Storage {
    const life = this.#life;
    const alive = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      if (life !== this.#life) await new Promise(() => {}); // its machine has no power
    };
    const inside = ({ gte, lt }: KeyRange) => {
      const [from, to] = [gte.toString('latin1'), lt.toString('latin1')];
      return [...this.#current.keys()].filter((key) => key >= from && key < to).sort();
    };
    const entry = (key: string): Entry => [
      Buffer.from(key, 'latin1'),
      Buffer.from(this.#current.get(key) ?? []),
    ];
    return {
      open: async () => {
        await alive();
        return [];
      },
      startOver: async (reason) => {
        await alive();
        this.#current.clear();
        return [{ file: 'log', problem: reason }];
      },
      async *salvage() {
        await alive();
        yield* []; // nothing is ever set aside
      },
      release: alive,
      close: alive,
      get: async (key) => {
        await alive();
        const value = this.#current.get(key.toString('latin1'));
        return value && Buffer.from(value);
      },
      last: async (range) => {
        await alive();
        const key = inside(range).at(-1);
        return key === undefined ? undefined : entry(key);
      },
      async *entries(range) {
        await alive();
        for (const found of inside(range).map(entry)) yield found; // a snapshot, as LevelDB gives
      },
      write: async (operations, { sync }) => {
        await alive();
        this.#apply(operations);
        if (sync) this.#synced = new Map(this.#current);
      },
      compact: alive,
    };
  }

  #apply(operations: readonly WriteOperation[]): void {
    for (const operation of operations) {
      const key = operation.key.toString('latin1');
      if (operation.type === 'put') this.#current.set(key, Buffer.from(operation.value));
      else this.#current.delete(key);
    }
  }

  /** What is on the disk now, to come back to: LevelDB does so when its newest file is lost. */
  snapshot(): () => void {
    const synced = new Map(this.#current);
    return () => {
      this.#synced = new Map(synced);
      this.#current = new Map(synced);
    };
  }

  powerCut(): void {
    this.#life++;
    this.#current = new Map(this.#synced);
  }

  /** Flips a bit of one stored value, as a card may do. */
  flip(key: Buffer, byte: number): void {
    const value = this.#current.get(key.toString('latin1'));
    if (!value) throw new Error('there is nothing under this key');
    value.writeUInt8(value.readUInt8(byte) ^ 0x10, byte);
  }

  keys(range: KeyRange): Buffer[] {
    const [from, to] = [range.gte.toString('latin1'), range.lt.toString('latin1')];
    const found = [...this.#current.keys()].filter((key) => key >= from && key < to).sort();
    return found.map((key) => Buffer.from(key, 'latin1'));
  }
}

export type WriteFault =
  | { readonly when: 'before' | 'after'; readonly error: NodeJS.ErrnoException }
  | { readonly when: 'held'; readonly until: Promise<void> };

export function systemError(code: 'ENOSPC' | 'EIO'): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: of a test`), { code });
}

/** `inner` with some of its calls taken over. */
export function interposed(inner: Storage, own: Partial<Storage>): Storage {
  return {
    open: () => inner.open(),
    startOver: (reason) => inner.startOver(reason),
    salvage: (range) => inner.salvage(range),
    release: () => inner.release(),
    close: () => inner.close(),
    get: (key) => inner.get(key),
    last: (range) => inner.last(range),
    entries: (range) => inner.entries(range),
    write: (operations, options) => inner.write(operations, options),
    compact: (range) => inner.compact(range),
    ...own,
  };
}

/** A real storage with faults on the way to it, and counters of what passes. */
export class FaultStorage implements Storage {
  readonly #inner: Storage;
  readonly #faults = new Map<number, WriteFault>();
  #refusedOpens = 0;
  #writing = 0;
  /** Writes begun, those that failed too. */
  writes = 0;
  synced = 0;
  writtenBytes = 0;
  reads = 0;
  opens = 0;
  closes = 0;
  /** The most writes that were under way together. */
  writingMax = 0;
  /** From now on no write succeeds. */
  dead: NodeJS.ErrnoException | undefined;

  constructor(inner: Storage) {
    this.#inner = inner;
  }

  /** The `n`-th write from the beginning, counted from 1. */
  onWrite(n: number, fault: WriteFault): void {
    this.#faults.set(n, fault);
  }

  refuseOpens(times: number): void {
    this.#refusedOpens = times;
  }

  async open(): Promise<readonly Finding[]> {
    this.opens++;
    if (this.#refusedOpens > 0) {
      this.#refusedOpens--;
      throw systemError('EIO');
    }
    return await this.#inner.open();
  }

  async startOver(reason: string): Promise<readonly Finding[]> {
    return await this.#inner.startOver(reason);
  }

  salvage(range: KeyRange): AsyncIterable<Entry> {
    return this.#inner.salvage(range);
  }

  async release(): Promise<void> {
    await this.#inner.release();
  }

  async close(): Promise<void> {
    this.closes++;
    await this.#inner.close();
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    this.reads++;
    return await this.#inner.get(key);
  }

  async last(range: KeyRange): Promise<Entry | undefined> {
    this.reads++;
    return await this.#inner.last(range);
  }

  async *entries(range: KeyRange): AsyncIterable<Entry> {
    for await (const entry of this.#inner.entries(range)) {
      this.reads++;
      yield entry;
    }
  }

  async write(operations: readonly WriteOperation[], options: { sync: boolean }): Promise<void> {
    const fault = this.#faults.get(++this.writes);
    this.writingMax = Math.max(this.writingMax, ++this.#writing);
    try {
      if (this.dead) throw this.dead;
      if (fault?.when === 'held') await fault.until;
      if (fault?.when === 'before') throw fault.error;
      await this.#inner.write(operations, options);
      if (fault?.when === 'after') throw fault.error;
    } finally {
      this.#writing--;
    }
    if (options.sync) this.synced++;
    for (const operation of operations) {
      const valueBytes = operation.type === 'put' ? operation.value.length : 0;
      this.writtenBytes += operation.key.length + valueBytes;
    }
  }

  async compact(range: KeyRange): Promise<void> {
    await this.#inner.compact(range);
  }
}
