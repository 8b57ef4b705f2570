/** A hub on a small volume of its own, which others can fill. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeDiskImage, mountDisk } from '../power-cut/disk-image.ts';
import { UndoStack } from '../power-cut/undo-stack.ts';

const FILLER = join(import.meta.dirname, 'full-volume-filler.js');

/** An ext4 of its own, of 96 MiB. Needs root. Unmounted at the latest when this process ends. */
export class Volume {
  /** Where it is mounted. */
  readonly folder: string;
  readonly #file: string;
  readonly #undo = new UndoStack();
  #filler: ChildProcess | undefined;

  constructor() {
    const undo = this.#undo;
    const base = mkdtempSync(join(tmpdir(), 'holdfast-volume-'));
    undo.add(() => rmSync(base, { recursive: true }));
    const image = join(base, 'image');
    makeDiskImage(image);
    this.folder = join(base, 'mounted');
    mkdirSync(this.folder);
    mountDisk(undo, image, this.folder);
    this.#file = join(this.folder, 'filler');
  }

  /** Resolves when only `leaveBytes` are free. From then on, what becomes free is taken too. */
  async fill(leaveBytes = 0): Promise<void> {
    await this.stopFilling();
    const filler = spawn(process.execPath, [FILLER, this.#file, String(leaveBytes)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#filler = filler;
    await once(filler.stdout, 'data');
  }

  /** Gives everything back. */
  async release(): Promise<void> {
    await this.stopFilling();
    await rm(this.#file, { force: true });
  }

  /** Afterwards it is gone. Nobody may use it any more. */
  async close(): Promise<void> {
    await this.stopFilling();
    this.#undo.undo();
  }

  /** Of a file in the data directory; 0 when it is not there. */
  async bytesOf(name: string): Promise<number> {
    return (await stat(join(this.folder, 'data', name)).catch(() => undefined))?.size ?? 0;
  }

  /** What is taken stays taken; what becomes free from now on stays free. */
  async stopFilling(): Promise<void> {
    const filler = this.#filler;
    this.#filler = undefined;
    if (!filler || filler.exitCode !== null) return;
    filler.kill('SIGTERM');
    await once(filler, 'close');
  }
}
