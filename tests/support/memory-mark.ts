import type { HighWaterMark, MarkFacts } from '../../hub/log/mark.ts';

/** A mark that lives as long as the object: a log that is opened with it again finds it. */
export function memoryMark(): HighWaterMark {
  let facts: MarkFacts | undefined;
  return {
    load: async () => ({ facts, problem: undefined }),
    note: (noted) => {
      facts = noted();
    },
    close: async () => undefined,
  };
}
