/** Does `work` after `delayMs`, unless what it answers is called before. Injected for tests. */
export type After = (delayMs: number, work: () => void) => () => void;

export const afterRealTime: After = (delayMs, work) => {
  const timer = setTimeout(work, delayMs);
  return () => clearTimeout(timer);
};

/** Resolves after `delayMs`, or as soon as the signal aborts. */
export function sleep(after: After, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const wake = () => {
      cancel();
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const cancel = after(delayMs, wake);
    signal.addEventListener('abort', wake, { once: true });
  });
}

/** Does `work` again and again, after `everyMs` each, until the signal aborts or it throws. */
export async function repeat(
  after: After,
  everyMs: number,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<void> {
  for (;;) {
    await sleep(after, everyMs, signal);
    if (signal.aborted) return;
    await work();
  }
}

/** Settles as `work` does, or resolves with undefined as soon as the signal aborts. */
export async function unlessStopped<T>(
  work: Promise<T>,
  signal: AbortSignal,
): Promise<T | undefined> {
  if (signal.aborted) return undefined;
  let stop = () => {};
  const stopped = new Promise<undefined>((resolve) => {
    stop = () => resolve(undefined);
  });
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([work, stopped]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
