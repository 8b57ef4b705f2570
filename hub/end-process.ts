/**
 * `process.exit` waits for the threads of libuv, and so for ever for one that the kernel does not
 * return: from a sensor whose bus hangs, a file system whose server is away. A signal waits for
 * nobody. Nothing is lost by it: what must be on disk is there before anybody ends the process.
 */
const HELD = /^(FSReq|FileHandle|GetAddrInfo)/;
/** A card that is busy takes so long for what it does finish. */
const GRACE_MS = 500;

const isHeld = (): boolean => process.getActiveResourcesInfo().some((name) => HELD.test(name));

/**
 * Ends this process with `process.exitCode`: at once, or when a thread is held, after half a second
 * by SIGTERM, which supervisors take for a clean end, or by SIGKILL with any other code than 0.
 */
export function endProcess(): void {
  if (isHeld()) setTimeout(endHeld, GRACE_MS);
  else process.exit();
}

function endHeld(): void {
  if (!isHeld()) process.exit();
  process.removeAllListeners('SIGTERM');
  process.kill(process.pid, process.exitCode ? 'SIGKILL' : 'SIGTERM');
}
