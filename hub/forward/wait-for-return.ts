import type { FarSideLink } from './recovery.ts';
import { Wakeup } from './wakeup.ts';

/** Waits so long; less when `signal` aborts, or when the far side may be back: then true. */
export async function waitForReturn(
  waitMs: number,
  farSide: FarSideLink | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const timer = new Wakeup();
  let isBack = false;
  const wake = () => timer.wake();
  const leave = farSide?.wait(() => {
    isBack = true;
    wake();
  });
  signal.addEventListener('abort', wake);
  try {
    if (!signal.aborted) await timer.wait(Math.max(0, waitMs));
  } finally {
    signal.removeEventListener('abort', wake);
    leave?.();
  }
  return isBack;
}
