/**
 * A disk whose every write and flush is recorded: ext4 of this machine's kernel, on a loop device,
 * on a file that qemu-storage-daemon serves over FUSE, with `blklogwrites` below. No emulated
 * machine is in it; what a disk is sent is the same.
 *
 * Why the order in the log can be trusted: the FUSE export serves one request after the other; a
 * request is in the log before it is answered; and a file system sends a flush only when what the
 * flush has to cover has been answered.
 */
import { spawn } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../support/until.ts';
import { runCommand } from './commands.ts';
import { copyImage, DISK_BYTES, makeDiskImage, mountDisk } from './disk-image.ts';
import type { UndoStack } from './undo-stack.ts';
import { WriteLog } from './write-log.ts';
import { WriterOutput } from './writer-output.ts';
import { type Cut, runUntilCut, writerArguments } from './writer-process.ts';

export interface RecordOptions {
  /** An empty folder with room for images. */
  readonly folder: string;
  readonly seed: number;
  readonly durability: 'fsync' | 'none';
  /** Each kills the writer; the next one goes on with what it finds. */
  readonly cuts: readonly Cut[];
}

export interface Recording {
  /** The disk before the first write. */
  readonly baseImage: string;
  readonly log: WriteLog;
  readonly output: WriterOutput;
  /** The size of the log when the last writer was killed. */
  readonly endBytes: number;
}

/** Runs writers on a recorded disk. */
export async function record(undo: UndoStack, options: RecordOptions): Promise<Recording> {
  const { folder, seed, durability, cuts } = options;
  const [disk, baseImage, log] = ['disk.img', 'base.img', 'writes.log'].map((name) =>
    join(folder, name),
  );
  if (!disk || !baseImage || !log) throw new Error('three names');
  makeDiskImage(disk);
  copyImage(disk, baseImage);
  writeFileSync(log, '');
  const stops = [await serveRecorded(undo, disk, log, join(folder, 'served.img'))];
  const device = runCommand('losetup', '--find', '--show', join(folder, 'served.img'));
  stops.push(undo.add(() => runCommand('losetup', '--detach', device)));
  const mounted = join(folder, 'recorded');
  stops.push(mountDisk(undo, device, mounted));
  const output = new WriterOutput();
  for (const [boot, cut] of cuts.entries()) {
    const data = join(mounted, 'data');
    const args = writerArguments({ folder: data, seed, boot, durability, stamped: log });
    await runUntilCut(undo, process.execPath, args, output, cut);
  }
  const endBytes = statSync(log).size;
  for (const stop of stops.reverse()) stop();
  return { baseImage, log: new WriteLog(log), output, endBytes };
}

/** Serves `disk` as the file `served`, and writes down what is written. Answers how to stop it. */
async function serveRecorded(
  undo: UndoStack,
  disk: string,
  log: string,
  served: string,
): Promise<() => void> {
  writeFileSync(served, '');
  const child = spawn(
    'qemu-storage-daemon',
    [
      ...['--blockdev', `driver=file,node-name=disk,filename=${disk}`],
      ...['--blockdev', `driver=file,node-name=log,filename=${log}`],
      '--blockdev',
      'driver=blklogwrites,node-name=recorded,file=disk,log=log,log-sector-size=512',
      '--export',
      `type=fuse,id=served,node-name=recorded,mountpoint=${served},writable=on`,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'], detached: true }, // Ctrl-C is not for it
  );
  const stop = undo.add(() => {
    child.kill('SIGKILL');
    runCommand('umount', '--lazy', served); // a killed FUSE server leaves its mount behind
  });
  await until('qemu-storage-daemon to serve the disk', () => statSync(served).size === DISK_BYTES);
  return stop;
}
