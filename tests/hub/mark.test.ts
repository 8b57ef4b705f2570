import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type HighWaterMark, type MarkFacts, markFile } from '../../hub/log/mark.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

function facts(tail: number): MarkFacts {
  const lane = { head: 0, tail, headBytes: 0, tailBytes: tail * 100 };
  return { logId: 'abc', lanes: { alarm: lane, normal: lane, bulk: lane } };
}

/** Each noted mark is a write of its own when the one before it is done. */
async function written(file: string, mark: HighWaterMark, tail: number): Promise<void> {
  mark.note(() => facts(tail));
  await until('it is written', async () =>
    (await readFile(file).catch(() => Buffer.alloc(0))).includes(`"tail":${tail},`),
  );
}

const noTrouble = (problem: string | undefined) => assert.equal(problem, undefined);

test('the last mark written is the one that is read', async (t) => {
  const file = join(await temporaryFolder(t), 'log.mark');
  for (let round = 1; round <= 3; round++) {
    const mark = markFile(file, noTrouble);
    const { facts: found, problem } = await mark.load();
    assert.equal(problem, undefined);
    assert.deepEqual(found, round === 1 ? undefined : facts((round - 1) * 10 + 4));
    for (let tail = round * 10; tail < round * 10 + 5; tail++) mark.note(() => facts(tail));
    await mark.close();
  }
});

test('any damaged byte of the newest copy leaves the one before it, and is noticed', async (t) => {
  const file = join(await temporaryFolder(t), 'log.mark');
  const mark = markFile(file, noTrouble);
  await mark.load();
  for (const tail of [1, 2, 3]) await written(file, mark, tail);
  await mark.close();
  const sound = await readFile(file);
  const newest = 2048; // the third one went where the first had been
  for (let byte = newest; byte < newest + 2048; byte += 7) {
    const damaged = Buffer.from(sound);
    damaged.writeUInt8(damaged.readUInt8(byte) ^ 4, byte);
    await writeFile(file, damaged);
    const again = markFile(file, noTrouble);
    const { facts: found, problem } = await again.load();
    await again.close();
    assert.deepEqual(found, facts(2), `byte ${byte}`);
    assert.equal(problem, 'one of its two copies is damaged');
  }
});

test('a file of another kind, cut short or unreadable is set aside and written anew', async (t) => {
  for (const text of ['x', 'a'.repeat(2047), 'b'.repeat(3000), 'c'.repeat(4096)]) {
    const file = join(await temporaryFolder(t), 'log.mark');
    await writeFile(file, text);
    const mark = markFile(file, noTrouble);
    const { facts: found, problem } = await mark.load();
    assert.equal(found, undefined);
    assert.equal(problem, 'both of its copies are damaged');
    assert.equal(await readFile(`${file}.damaged`, 'utf8'), text);
    mark.note(() => facts(9));
    await mark.close();
    const again = markFile(file, noTrouble);
    assert.deepEqual((await again.load()).facts, facts(9));
    await again.close();
  }
});

test('a mark that cannot be written is told once, and once more when it can', async (t) => {
  const folder = await temporaryFolder(t);
  const troubles: (string | undefined)[] = [];
  const file = join(folder, 'later', 'log.mark');
  const mark = markFile(file, (problem) => troubles.push(problem));
  assert.equal((await mark.load()).problem, undefined);
  mark.note(() => facts(1));
  await until('it is told', () => troubles.length > 0);
  mark.note(() => facts(2));
  await mark.close();
  assert.equal(troubles.length, 1);
  assert.match(troubles[0] ?? '', /cannot write .*log\.mark: .*ENOENT/);
  await mark.close();
});
