import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { until } from './until.ts';

export function isSocatThere(): boolean {
  return spawnSync('socat', ['-V']).error === undefined;
}

/** True when socat is installed; else the test is skipped, or fails. */
export function hasSocat(t: TestContext): boolean {
  if (isSocatThere()) return true;
  const text = 'needs socat: apt-get install socat';
  if (process.env['HOLDFAST_REQUIRE_PEERS'] === '1') assert.fail(text);
  t.skip(text);
  return false;
}

/**
 * Two pseudo-terminals that are one wire: what is written to `device` is read from `port` and the
 * other way round. Both are symbolic links that go away with it.
 */
export class PseudoTerminals {
  readonly port: string;
  readonly device: string;
  #socat: ChildProcess | undefined;
  #end: FileHandle | undefined;

  constructor(port: string, device: string) {
    this.port = port;
    this.device = device;
  }

  async plugIn(): Promise<void> {
    const end = (link: string) => `pty,raw,echo=0,link=${link}`;
    this.#socat = spawn('socat', ['-b', '65536', end(this.port), end(this.device)], {
      stdio: 'ignore',
    });
    await until('the pseudo-terminals are there', () => isThere(this.port, this.device));
    this.#end = await open(this.device, 'r+');
  }

  /** Both ends are gone, as when a USB adapter is pulled out. */
  async unplug(): Promise<void> {
    const socat = this.#socat;
    this.#socat = undefined;
    await this.#end?.close().catch(() => {});
    this.#end = undefined;
    if (!socat || socat.exitCode !== null || socat.signalCode !== null) return;
    socat.kill('SIGTERM'); // so that it removes its links
    await once(socat, 'close');
  }

  /** Resolves when the system has taken it, which is when the other side reads fast enough. */
  async write(bytes: Buffer | string): Promise<void> {
    const end = this.#end;
    assert.ok(end, 'not plugged in');
    const all = Buffer.from(bytes);
    for (let at = 0; at < all.length; ) at += (await end.write(all, at)).bytesWritten;
  }

  /** What the hub has written, at least one byte. */
  async read(): Promise<Buffer> {
    const end = this.#end;
    assert.ok(end, 'not plugged in');
    const { bytesRead, buffer } = await end.read(Buffer.alloc(4096), 0, 4096, null);
    return buffer.subarray(0, bytesRead);
  }
}

async function isThere(...paths: readonly string[]): Promise<boolean> {
  for (const path of paths)
    if (
      !(await lstat(path).then(
        (found) => found.isSymbolicLink(),
        () => false,
      ))
    )
      return false;
  return true;
}
