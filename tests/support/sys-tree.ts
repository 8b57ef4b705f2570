import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { link, mkdir, mkdtemp, open, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import type { Bridge } from '../../hub/core/bridge.ts';
import { afterTest } from './after-test.ts';
import { BridgeSession } from './bridge-session.ts';
import { until } from './until.ts';

/** A folder that is laid out as a kernel shows its hardware. */
export class SysTree {
  readonly sys: string;

  private constructor(sys: string) {
    this.sys = sys;
  }

  static async create(): Promise<SysTree> {
    return new SysTree(await mkdtemp(join(tmpdir(), 'holdfast-sys-')));
  }

  path(name: string): string {
    return join(this.sys, name);
  }

  /** Files with their texts, all at once as far as a reader can see. */
  async files(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, text] of Object.entries(files)) {
      const path = this.path(join(folder, name));
      await mkdir(dirname(path), { recursive: true });
      await writeFile(`${path}.new`, text);
      await rename(`${path}.new`, path);
    }
  }

  async folder(name: string): Promise<void> {
    await mkdir(this.path(name), { recursive: true });
  }

  async link(name: string, target: string): Promise<void> {
    await mkdir(dirname(this.path(name)), { recursive: true });
    await symlink(this.path(target), this.path(name));
  }

  async remove(name: string): Promise<void> {
    await rm(this.path(name), { recursive: true, force: true });
  }

  /** Hardware that does not answer: who reads it waits. */
  async fifo(name: string): Promise<void> {
    const own = this.#fifoOf(name);
    await mkdir(dirname(own), { recursive: true });
    await promisify(execFile)('mkfifo', [own]);
    await this.remove(name);
    await link(own, this.path(name));
  }

  /**
   * Lets who waits at a fifo go, with this text. Another file should be in its place by then:
   * the next one who reads it would wait again.
   */
  async release(name: string, text: string): Promise<void> {
    await until(`somebody reads ${name}`, async () => {
      try {
        const file = await open(this.#fifoOf(name), constants.O_WRONLY | constants.O_NONBLOCK);
        await file.write(text);
        await file.close();
        return true;
      } catch {
        return false;
      }
    });
  }

  /** A second name, by which it is found when another file has its place. */
  #fifoOf(name: string): string {
    return this.path(join('fifos', name.replaceAll('/', '-')));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.sys, { recursive: true, force: true });
  }
}

/** A bridge that reads the tree; both end with the test. */
export function beginOn(t: TestContext, tree: SysTree, bridge: Bridge): BridgeSession {
  const session = new BridgeSession();
  afterTest(t, async () => {
    await session.stop();
    await tree[Symbol.asyncDispose]();
  });
  session.begin(bridge);
  return session;
}
