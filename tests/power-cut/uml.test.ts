/**
 * Power cuts by killing a whole machine: user-mode Linux, with an ext4 of its own, writing. What
 * its kernel had not sent to the disk is gone. Cycle after cycle on one disk, so that what recovers
 * was itself recovered. Each time a copy of the disk is looked at here, and the machine boots again
 * from the disk as the cut has left it.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { afterTest } from '../support/after-test.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';
import { checkDataFolder, type Findings } from './check-data-folder.ts';
import { canRun, countFrom } from './commands.ts';
import { copyImage, makeDiskImage, makeWorkspace, mountDisk } from './disk-image.ts';
import { UML_PACKAGES, Uml } from './uml.ts';
import { UndoStack } from './undo-stack.ts';
import { WriterOutput } from './writer-output.ts';
import { type Cut, runUntilCut, type WriterRun } from './writer-process.ts';

const CYCLES = countFrom('HOLDFAST_POWER_CUT_CYCLES', 3);
/**
 * Creating or recovering the store takes 0.1 s to 0.5 s in there: cuts fall before, in and after.
 */
const OPENING_MS_MAX = 500;
/** Some 10 MB: LevelDB begins a new log file, and compacts. */
const WRITING_MS_MAX = 4_000;
/** Far above the 10 s of a cycle, so that a rig that hangs ends. */
const TIMEOUT_MS = 120_000 + CYCLES * 60_000;

class Machine {
  readonly output = new WriterOutput();
  readonly #undo = new UndoStack();
  readonly #folder: string;
  readonly #disk: string;
  readonly #uml: Uml;

  constructor(t: TestContext) {
    afterTest(t, () => this.#undo.undo());
    this.#folder = makeWorkspace(this.#undo);
    this.#uml = new Uml(join(this.#folder, 'uml'));
    this.#disk = join(this.#folder, 'disk.img');
    makeDiskImage(this.#disk);
  }

  /** Boots, cuts the power, and looks at a copy of the disk. */
  async cycle(run: Omit<WriterRun, 'folder'>, cut: Cut): Promise<Findings> {
    const [program, args] = this.#uml.boot(this.#disk, run);
    await runUntilCut(this.#undo, program, args, this.output, cut);
    const copy = join(this.#folder, 'copy.img');
    copyImage(this.#disk, copy);
    const mounted = join(this.#folder, 'copy');
    const unmount = mountDisk(this.#undo, copy, mounted);
    const findings = await checkDataFolder(join(mounted, 'data'), this.output);
    unmount();
    return findings;
  }
}

/** The first cut falls into the creation of the store; later ones anywhere. */
function cutAtRandom(cycle: number, random: () => number): Cut {
  return cycle === 0 || random() < 0.25
    ? { after: 'opening', delayMs: random() * OPENING_MS_MAX }
    : { after: 'ack', delayMs: random() * WRITING_MS_MAX };
}

test('a killed machine finds what it acknowledged', { timeout: TIMEOUT_MS }, async (t) => {
  if (!canRun(t, UML_PACKAGES, [])) return;
  const seed = chooseSeed();
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  const machine = new Machine(t);
  const startedMs = performance.now();
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    const before = machine.output.events;
    const cut = cutAtRandom(cycle, random);
    const run = { seed, boot: cycle, durability: 'fsync' } as const;
    const { problems, openMs, readEvents } = await machine.cycle(run, cut);
    t.diagnostic(
      `cycle ${cycle}: cut ${Math.round(cut.delayMs)} ms after ${cut.after}, ` +
        `${machine.output.events - before} events acknowledged; opened in ${Math.round(openMs)} ms, ` +
        `${readEvents} events read`,
    );
    const all = [...problems, ...machine.output.wrong];
    assert.deepEqual(all, [], `cycle ${cycle} of ${CYCLES}; HOLDFAST_SEED=${seed}`);
  }
  t.diagnostic(
    `${CYCLES} cycles, ${machine.output.events} events acknowledged, ` +
      `${Math.round((performance.now() - startedMs) / CYCLES)} ms each`,
  );
});

test('without syncs a killed machine shows a loss', { timeout: TIMEOUT_MS }, async (t) => {
  if (!canRun(t, UML_PACKAGES, [])) return;
  const machine = new Machine(t);
  const run = { seed: chooseSeed(), boot: 0, durability: 'none' } as const;
  const { lostEvents } = await machine.cycle(run, { after: 'ack', delayMs: 500 });
  t.diagnostic(`${lostEvents} of ${machine.output.events} acknowledged events lost`);
  assert.ok(lostEvents > 0, 'a rig that cannot see this loss sees none');
});
