import { STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX, type StateChange } from '../core/bridge.ts';
import { bridgeStateKey, bridgeStateRange, nameOfBridgeState } from '../log/keys.ts';
import { openRecord, sealRecord } from '../log/record.ts';
import type { KeyRange, WriteOperation } from '../log/storage/storage.ts';

/** The part of the log that keeps what bridges remember. */
export interface StateStorage {
  entries(range: KeyRange): AsyncIterable<readonly [key: Buffer, value: Buffer]>;
}

/** What one bridge remembers, sealed: a wrong digit in it would lose or repeat readings. */
export class BridgeMemory {
  readonly #bridge: string;
  readonly #storage: StateStorage;

  constructor(bridge: string, storage: StateStorage) {
    this.#bridge = bridge;
    this.#storage = storage;
  }

  /** Throws a RangeError for what is too large: a defect of the bridge. */
  operations(changes: readonly StateChange[]): WriteOperation[] {
    return changes.map(({ key, value }) => {
      if (Buffer.byteLength(key) > STATE_KEY_BYTES_MAX || key.includes('\0'))
        throw new RangeError(`the bridge ${this.#bridge} remembers under a bad key: ${key}`);
      const place = bridgeStateKey(this.#bridge, key);
      if (value === undefined) return { type: 'del', key: place };
      const record = sealRecord(value);
      if (record.length > STATE_VALUE_BYTES_MAX)
        throw new RangeError(`the bridge ${this.#bridge} remembers too much under ${key}`);
      return { type: 'put', key: place, value: record };
    });
  }

  async load(prefix: string): Promise<ReadonlyMap<string, unknown>> {
    const state = new Map<string, unknown>();
    for await (const [key, record] of this.#storage.entries(
      bridgeStateRange(this.#bridge, prefix),
    )) {
      const value = openRecord<unknown>(record);
      if (value !== undefined) state.set(nameOfBridgeState(this.#bridge, key), value);
    }
    return state;
  }
}
