import type { Version } from '../storage/leveldb/operations.ts';
import { compareVersions } from '../storage/leveldb/table-block.ts';

/** Versions in the order of a table, from `smallest` on. */
export interface VersionSource {
  /** Undefined when it is not known: the source is read from the beginning. */
  readonly smallest: Buffer | undefined;
  read(): AsyncGenerator<Version>;
}

/**
 * All versions of all sources in the order of a table. A source is opened only when the merge comes
 * to it: there may be a thousand tables, of which few overlap.
 */
export async function* mergedVersions(sources: readonly VersionSource[]): AsyncGenerator<Version> {
  const waiting = [...sources].sort((a, b) => compareSmallest(a, b)).reverse();
  const heads = new Map<AsyncGenerator<Version>, Version>();
  const advance = async (source: AsyncGenerator<Version>) => {
    const next = await source.next();
    if (next.done) heads.delete(source);
    else heads.set(source, next.value);
  };
  try {
    for (;;) {
      let least: { source: AsyncGenerator<Version>; version: Version } | undefined;
      for (const [source, version] of heads) {
        if (!least || compareVersions(version, least.version) < 0) least = { source, version };
      }
      const next = waiting.at(-1);
      const mayBeBefore =
        next && (!least || !next.smallest || next.smallest.compare(least.version.key) <= 0);
      if (next && mayBeBefore) {
        waiting.pop();
        await advance(next.read());
        continue;
      }
      if (!least) return;
      yield least.version;
      await advance(least.source);
    }
  } finally {
    for (const source of heads.keys()) await source.return(undefined);
  }
}

function compareSmallest(a: VersionSource, b: VersionSource): number {
  if (!a.smallest || !b.smallest) return a.smallest ? 1 : b.smallest ? -1 : 0;
  return Buffer.compare(a.smallest, b.smallest);
}
