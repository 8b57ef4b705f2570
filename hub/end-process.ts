/**
 * `process.exit` waits for the threads of libuv, and so for ever for one that the kernel does not
 * return: from a sensor whose bus hangs, a file system whose server is away. A signal waits for
 * nobody. Nothing is lost by it: what must be on disk is there before anybody ends the process.
 */
const HELD = /^(FSReq|FileHandle|GetAddrInfo)/;

/**
 * Ends this process at once, with `process.exitCode`, or when a thread is held: by SIGTERM, which
 * supervisors take for a clean end, or by SIGKILL with any other code than 0.
 */
export function endProcess(): void {
  if (!process.getActiveResourcesInfo().some((name) => HELD.test(name))) process.exit();
  process.removeAllListeners('SIGTERM');
  process.kill(process.pid, process.exitCode ? 'SIGKILL' : 'SIGTERM');
}
