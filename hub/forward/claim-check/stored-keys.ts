/** 10,000 keys of 100 characters are 2 MiB. */
const KEYS_MAX = 10_000;
/** Somebody may empty the bucket: after an hour an object is stored again rather than assumed. */
const AGE_MAX_MS = 3_600_000;

/** What was stored a short while ago: several sinks, halves and retries send the same event. */
export class StoredKeys {
  readonly #nowMs: () => number;
  /** In the order in which they were stored. */
  readonly #storedMs = new Map<string, number>();

  /** `nowMs` is monotonic. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  has(key: string): boolean {
    const storedMs = this.#storedMs.get(key);
    return storedMs !== undefined && this.#nowMs() - storedMs < AGE_MAX_MS;
  }

  add(key: string): void {
    this.#storedMs.delete(key);
    this.#storedMs.set(key, this.#nowMs());
    if (this.#storedMs.size <= KEYS_MAX) return;
    const [oldest] = this.#storedMs.keys();
    if (oldest !== undefined) this.#storedMs.delete(oldest);
  }
}
