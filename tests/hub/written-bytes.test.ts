import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writtenBytesMeter } from '../../hub/observe/written-bytes.ts';

const IO = (bytes: number) =>
  `rchar: 1\nwchar: 77\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: ${bytes}\ncancelled_write_bytes: 8\n`;

test('reads write_bytes, at most once a second', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-written-'));
  const file = join(folder, 'io');
  let nowMs = 5;
  const meter = writtenBytesMeter(() => nowMs, file);
  await writeFile(file, IO(4096));
  assert.equal(meter(), 4096);
  await writeFile(file, IO(8192));
  nowMs += 999;
  assert.equal(meter(), 4096);
  nowMs += 1;
  assert.equal(meter(), 8192);
  await rm(folder, { recursive: true });
});

test('undefined where the kernel does not tell', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-written-'));
  assert.equal(writtenBytesMeter(undefined, join(folder, 'io'))(), undefined);
  await writeFile(join(folder, 'io'), 'something else\n');
  assert.equal(writtenBytesMeter(undefined, join(folder, 'io'))(), undefined);
  await rm(folder, { recursive: true });
});

test('counts what this process syncs to a disk', async (t) => {
  if (!existsSync('/proc/self/io')) return t.skip('needs /proc/self/io: Linux');
  // beside the compiled tests, as the folder for temporary files may be memory
  const folder = await mkdtemp(join(import.meta.dirname, '.written-'));
  try {
    const before = writtenBytesMeter()() ?? 0;
    const handle = await open(join(folder, 'file'), 'w');
    await handle.write(Buffer.alloc(64 * 1024, 1));
    await handle.sync();
    await handle.close();
    const written = (writtenBytesMeter()() ?? 0) - before;
    if (written === 0) return t.skip('needs a disk: the working copy is in memory');
    assert.ok(written >= 64 * 1024, `${written} bytes`);
  } finally {
    await rm(folder, { recursive: true });
  }
});
