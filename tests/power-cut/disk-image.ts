import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from './commands.ts';
import type { UndoStack } from './undo-stack.ts';

/** Room for what a writer keeps, with the tables that LevelDB has not compacted yet. */
export const DISK_BYTES = 96 * 1024 * 1024;
/** Images lie in memory: a copy takes no time, and unmounting one waits for no real disk. */
const WORKSPACE_BYTES = 1024 ** 3;

/**
 * A killed process is gone, and its files are closed, within this time; at exit nobody waits long.
 */
const UNMOUNT_MS_MAX = 10_000;
const UNMOUNT_AT_EXIT_MS_MAX = 500;
const RETRY_MS = 20;

/**
 * Unmounts what a process that was just killed may still hold. When `exiting` it may be this one:
 * then it is unmounted as soon as this process has ended.
 */
function unmount(at: string, exiting: boolean): void {
  const endMs = performance.now() + (exiting ? UNMOUNT_AT_EXIT_MS_MAX : UNMOUNT_MS_MAX);
  for (;;) {
    try {
      runCommand('umount', at);
      return;
    } catch (error) {
      if (performance.now() > endMs) {
        if (!exiting) throw error;
        runCommand('umount', '--lazy', at);
        return;
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}

/** A temporary folder in memory. Everything in it is gone after `undo`. */
export function makeWorkspace(undo: UndoStack): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-power-cut-'));
  undo.add(() => rmSync(folder, { recursive: true }));
  runCommand('mount', '-t', 'tmpfs', '-o', `size=${WORKSPACE_BYTES}`, 'holdfast', folder);
  undo.add((exiting) => unmount(folder, exiting));
  return folder;
}

/** An empty ext4 with the block size that a card's would have. */
export function makeDiskImage(path: string): void {
  closeSync(openSync(path, 'w'));
  truncateSync(path, DISK_BYTES);
  // nothing left for the kernel to initialise later: it would be written beside what we look at
  const now = 'lazy_itable_init=0,lazy_journal_init=0';
  runCommand('mke2fs', '-q', '-F', '-t', 'ext4', '-b', '4096', '-E', now, path);
}

/** Copies an image without its holes. */
export function copyImage(from: string, to: string): void {
  runCommand('cp', '--sparse=auto', from, to);
}

/**
 * Mounts `device`, an image or a loop device, on the folder `at`. The host's kernel replays the
 * journal. Answers a function that unmounts it.
 */
export function mountDisk(undo: UndoStack, device: string, at: string): () => void {
  mkdirSync(at, { recursive: true });
  const loop = device.startsWith('/dev/') ? [] : ['-o', 'loop'];
  runCommand('mount', '-t', 'ext4', ...loop, device, at);
  return undo.add((exiting) => unmount(at, exiting));
}
