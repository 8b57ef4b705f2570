/** Power cuts rebuilt from a recording of all that a disk was sent. See recorded-disk.ts. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { afterTest } from '../support/after-test.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';
import { canRun, countFrom } from './commands.ts';
import { RecordedDisk, type State } from './recorded-disk.ts';
import { UndoStack } from './undo-stack.ts';

const STATES = countFrom('HOLDFAST_POWER_CUT_STATES', 100);
/** Without syncs nearly every state is a loss: a few show that the rig can see one. */
const STATES_PER_CONTROL = 100;
const PACKAGES = { 'qemu-storage-daemon': 'qemu-system-common', losetup: 'mount' };
const DEVICES = ['/dev/fuse'];
/** Far above the 0.2 s that a state takes, so that a rig that hangs ends. */
const TIMEOUT_MS = 60_000 + STATES * 5_000;

function undone(t: TestContext): UndoStack {
  const undo = new UndoStack();
  afterTest(t, () => undo.undo());
  return undo;
}

test('no state of the disk is without what was acknowledged', {
  timeout: TIMEOUT_MS,
}, async (t) => {
  if (!canRun(t, PACKAGES, DEVICES)) return;
  const seed = chooseSeed();
  const disk = await RecordedDisk.make(t, undone(t), seed, 'fsync');
  const startedMs = performance.now();
  const states: State[] = [];
  for (const [index, flush] of disk.chooseFlushes(STATES, seededRandom(seed)).entries())
    states.push(await disk.check(flush, seed + index));
  const perStateMs = Math.round((performance.now() - startedMs) / STATES);
  const early = states.filter(({ flush }) => flush < disk.firstAck).length;
  const promised = Math.max(...states.map(({ promisedEvents }) => promisedEvents));
  const openMs = Math.round(Math.max(...states.map((state) => state.openMs)));
  t.diagnostic(
    `${STATES} states, ${early} of them before the first acknowledgement, up to ${promised} events ` +
      `promised; ${perStateMs} ms each, opened within ${openMs} ms`,
  );
  const files = new Set(states.flatMap(({ unfinishedFiles }) => unfinishedFiles));
  t.diagnostic(`files found unfinished: ${[...files].join('; ') || 'none'}`);
  const bad = states.filter(({ problems }) => problems.length > 0);
  assert.deepEqual(bad, [], `${bad.length} of ${STATES} states; HOLDFAST_SEED=${seed}`);
});

test('without syncs the same states show a loss', { timeout: TIMEOUT_MS }, async (t) => {
  if (!canRun(t, PACKAGES, DEVICES)) return;
  const seed = chooseSeed();
  const disk = await RecordedDisk.make(t, undone(t), seed, 'none');
  for (let control = 0; control < STATES / STATES_PER_CONTROL; control++) {
    const { lostEvents, promisedEvents } = await disk.check(disk.end, seed + control);
    t.diagnostic(`${lostEvents} of ${promisedEvents} acknowledged events lost`);
    assert.ok(lostEvents > 0, 'a rig that cannot see this loss sees none');
  }
});
