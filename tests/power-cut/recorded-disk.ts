/**
 * Power cuts rebuilt from a recording: one run of the writer on a disk whose every write and flush
 * is written down, then any moment of it made anew, with any part of the disk's cache lost.
 *
 * Which acknowledgements count for a state. With each the writer says how long the record was just
 * then (its stamp). The flush that made the event durable was in the record before it was answered,
 * so it is one of those within the stamp; call the last of them F. In a state with everything up to
 * flush k, k >= F, the event must be there. For k < F nothing is demanded: that asks too little
 * where other flushes came between the event's own and its acknowledgement, and never too much.
 */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { seededRandom } from '../support/seeded-random.ts';
import { checkDataFolder, type Findings } from './check-data-folder.ts';
import { CrashStates, chooseFlushes } from './crash-states.ts';
import { copyImage, makeWorkspace, mountDisk } from './disk-image.ts';
import { type Recording, record } from './recording.ts';
import type { UndoStack } from './undo-stack.ts';

/** A folder in which states that failed are kept. */
const KEEP = process.env['HOLDFAST_POWER_CUT_KEEP'];
/** Some 5 MB a second: several of LevelDB's write buffers of 8 MiB, and two recoveries of one. */
const CUTS = [
  { after: 'ack', delayMs: 2_500 },
  { after: 'opening', delayMs: 60 },
  { after: 'ack', delayMs: 2_500 },
] as const;
/** So many flushes after the first acknowledgement count as the creation of the store. */
const CREATION_FLUSHES = 10;

/** What a power cut left behind. */
export interface State extends Findings {
  /** Everything up to this flush was durable. */
  readonly flush: number;
  readonly seed: number;
  /** Acknowledged events that had to be there. */
  readonly promisedEvents: number;
}

/** A recording, and the states that are made from it in the order of their flushes. */
export class RecordedDisk {
  readonly #undo: UndoStack;
  readonly #folder: string;
  readonly #recording: Recording;
  readonly #states: CrashStates;

  private constructor(undo: UndoStack, folder: string, recording: Recording) {
    this.#undo = undo;
    this.#folder = folder;
    this.#recording = recording;
    const durableImage = join(folder, 'durable.img');
    copyImage(recording.baseImage, durableImage);
    this.#states = new CrashStates(recording.log, durableImage);
  }

  /** Records writers that sync (`fsync`), several that recover each other, or one that does not. */
  static async make(
    t: TestContext,
    undo: UndoStack,
    seed: number,
    durability: 'fsync' | 'none',
  ): Promise<RecordedDisk> {
    const folder = makeWorkspace(undo);
    const cuts = durability === 'fsync' ? CUTS : CUTS.slice(0, 1);
    const recording = await record(undo, { folder, seed, durability, cuts });
    const { log, output, endBytes } = recording;
    undo.add(() => log.close());
    t.diagnostic(
      `seed ${seed}: ${log.writes.length} writes, ${log.flushes.length} flushes, ` +
        `${endBytes >> 20} MiB; ${output.events} events acknowledged in ${output.opened} openings`,
    );
    assert.deepEqual(output.wrong, []);
    return new RecordedDisk(undo, folder, recording);
  }

  /** The last flush in the record when the last writer was killed. */
  get end(): number {
    return this.#recording.log.flushAt(this.#recording.endBytes);
  }

  /** The last flush in the record at the first acknowledgement. */
  get firstAck(): number {
    return this.#recording.log.flushAt(this.#recording.output.acks[0]?.stamp ?? 0);
  }

  chooseFlushes(count: number, random: () => number): number[] {
    const created = Math.min(this.firstAck + CREATION_FLUSHES, this.end);
    return chooseFlushes(this.#recording.log, { created, end: this.end, count }, random);
  }

  /** Rebuilds the disk, mounts it and looks at the log on it. */
  async check(flush: number, seed: number): Promise<State> {
    const { log, output } = this.#recording;
    const image = join(this.#folder, 'state.img');
    this.#states.build(flush, seededRandom(seed), image);
    const acks = output.acks.filter(({ stamp }) => log.flushAt(stamp) <= flush);
    const mounted = join(this.#folder, 'state');
    const unmount = mountDisk(this.#undo, image, mounted);
    const { settled } = output;
    const findings = await checkDataFolder(join(mounted, 'data'), { acks, settled });
    unmount();
    if (KEEP && findings.problems.length > 0) {
      this.#states.build(flush, seededRandom(seed), image); // as it was before it was opened
      copyFileSync(image, join(KEEP, `flush-${flush}-seed-${seed}.img`));
    }
    const promisedEvents = acks.reduce((sum, { count }) => sum + count, 0);
    return { ...findings, flush, seed, promisedEvents };
  }
}
