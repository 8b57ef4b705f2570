/**
 * The character device, by the programs of gpiod 2.
 *
 * Invariants:
 * - one gpiomon watches all lines with the same settings, one gpioset holds one output, and all end
 *   with the hub (firmware-bridge/child), so none keeps a line busy;
 * - gpiomon is read without waiting for anything: the kernel keeps only 16 edges for each line.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../../hub/core/clock.ts';
import { endsWithin } from '../../../hub/core/ends-within.ts';
import type { HubError } from '../../../hub/core/errors.ts';
import {
  describeEnd,
  LINES_PER_BATCH_MAX,
  type Program,
  type ProgramEnd,
  startProgram,
} from '../../child/program.ts';
import type {
  Backend,
  EdgeListener,
  Holder,
  HoldRequest,
  LineSettings,
  Watch,
  WatchSettings,
} from '../backend.ts';
import { isHeaderChip } from '../header-pins.ts';
import { describeLine, type LineReference } from '../line-name.ts';
import { busyText, deniedRemedy, lost, titleOf } from '../messages.ts';
import { linesOf } from './cdev-chip.ts';
import type { LineInfo } from './gpiod-output.ts';
import { type Chip, EDGE_FORMAT, edgeIn, isBanner, levelsIn, troubleIn } from './gpiod-output.ts';
import type { GpiodProgram, GpiodTools } from './gpiod-tools.ts';
import { GpiosetHolder } from './gpioset-holder.ts';
import { type InterruptSource, Interrupts } from './interrupts.ts';
import { distanceFromKernelMs } from './kernel-clock.ts';

/** Under a name that begins so gpioinfo shows who holds a line. */
export const CONSUMER = 'holdfast';
/** A machine that swaps takes seconds to start a program. */
export const START_MS_MAX = 5_000;
const STOP_MS = 200;
const LINE_BYTES_MAX = 256;
/** A pipe holds some 2,500 edges: enough for 100,000 in a second. */
const STREAM_MS = 20;

const BIAS = { pull_up: 'pull-up', pull_down: 'pull-down', none: 'disabled' } as const;

export interface CdevOptions {
  readonly tools: GpiodTools;
  readonly chip: Chip;
  readonly version: string;
  readonly clock: Clock;
  /** Of the chip; undefined when no line is looked for by its name. */
  readonly lines: readonly LineInfo[] | undefined;
  readonly interrupts: InterruptSource;
  readonly badLine: () => void;
}

export class CdevBackend implements Backend {
  readonly kind = 'cdev';
  readonly title: string;
  readonly onHeader: boolean;
  readonly #options: CdevOptions;

  constructor(options: CdevOptions) {
    this.#options = options;
    this.title = `${titleOf(options.chip)} by gpiod ${options.version}`;
    this.onHeader = isHeaderChip(options.chip.label);
  }

  offsetOf(line: LineReference): number {
    const { chip, lines = [] } = this.#options;
    if (line.by === 'name') {
      const found = lines.find(({ name }) => name === line.name);
      if (found) return found.offset;
      throw lost(
        `${titleOf(chip)} has no line "${line.name}"; \`gpioinfo -c ${chip.name}\` lists them`,
      );
    }
    if (line.offset < chip.lines) return line.offset;
    const last = chip.lines - 1;
    throw lost(
      `${titleOf(chip)} has no line ${line.offset}: its last one is ${last}; ` +
        '`gpiodetect` lists the chips',
    );
  }

  async watch(
    offsets: readonly number[],
    settings: WatchSettings,
    listener: EdgeListener,
  ): Promise<Watch> {
    const levels = await this.#levels(offsets, settings);
    const { edges, debounceMs } = settings;
    const consumer = `${CONSUMER}-${randomBytes(4).toString('hex')}`;
    const args = [
      ...this.#lineArgs(settings, consumer),
      ...['-e', edges, '-E', 'monotonic', '-F', EDGE_FORMAT, '--banner'],
      ...(debounceMs > 0 ? ['-p', `${debounceMs}ms`] : []),
      ...offsets.map(String),
    ];
    const program = await startProgram({
      command: this.#options.tools.pathOf('gpiomon'),
      args,
      lineBytesMax: LINE_BYTES_MAX,
    });
    let begin = (_: true) => {};
    const began = new Promise<true>((resolve) => {
      begin = resolve;
    });
    const read = this.#read(program, listener, () => begin(true));
    const failure = read
      .then(() => program.ended)
      .then((end) => this.explain('gpiomon', offsets, end));
    try {
      // with a debounce the kernel sees edges that nobody is told of
      const { interrupts: source, clock } = this.#options;
      const interrupts = new Interrupts({ source, consumer, offsets, clock });
      const count = debounceMs > 0 ? {} : { count: (offset: number) => interrupts.of(offset) };
      const first = await Promise.race([began, failure, tooLate()]);
      if (first === true)
        return {
          levels,
          ...count,
          ended: failure,
          stop: async () => {
            program.terminate();
            await endsWithin(STOP_MS, read); // what is in its pipe has come
            await program.stop(STOP_MS);
          },
        };
      throw first;
    } catch (error) {
      await program.stop(STOP_MS);
      throw error;
    }
  }

  async hold(request: HoldRequest): Promise<Holder> {
    const holder = new GpiosetHolder(
      {
        start: (extra, active) => this.#startGpioset(request, extra, active),
        explain: (end) => this.explain('gpioset', [request.offset], end),
      },
      request,
    );
    await holder.set(request.active);
    return holder;
  }

  /** Why a program could not use these lines. */
  async explain(
    program: GpiodProgram,
    offsets: readonly number[],
    end: ProgramEnd,
  ): Promise<HubError> {
    const { chip } = this.#options;
    const title = titleOf(chip);
    const said = describeEnd(program, end);
    switch (troubleIn(end.errorLines.join('\n'))) {
      case 'busy':
        return lost(await this.#busy(offsets));
      case 'denied':
        return lost(`/dev/${title} may not be opened by the user of the hub: ${deniedRemedy()}`);
      case 'no_chip':
      case 'gone':
        return lost(`${title} is gone: is it plugged in? (${said})`);
      case 'refused':
        return lost(
          `${title} does not do what is asked of ${this.#names(offsets)}: leave out \`bias\` or ` +
            `\`debounce\`, or take another line (${said})`,
        );
      case 'no_line':
      case 'other':
        return lost(`${this.#names(offsets)} of ${title}: ${said}`);
    }
  }

  #names(offsets: readonly number[]): string {
    return offsets
      .map((offset) => describeLine({ by: 'offset', offset }, this.onHeader))
      .join(', ');
  }

  async #busy(offsets: readonly number[]): Promise<string> {
    const { chip, tools } = this.#options;
    const lines = await linesOf(tools, chip).catch(() => []);
    const held = lines.find(
      ({ offset, consumer }) => offsets.includes(offset) && consumer !== undefined,
    );
    const names = this.#names(held === undefined ? offsets : [held.offset]);
    return busyText(`${names} of ${titleOf(chip)}`, held?.consumer);
  }

  #lineArgs({ bias, activeLow }: LineSettings, consumer = CONSUMER): string[] {
    return [
      ...['-c', this.#options.chip.name, '-C', consumer],
      ...(bias === undefined ? [] : ['-b', BIAS[bias]]),
      ...(activeLow ? ['-l'] : []),
    ];
  }

  /** As gpiomon does not say them; an edge between the two is seen at the next one. */
  async #levels(
    offsets: readonly number[],
    settings: LineSettings,
  ): Promise<ReadonlyMap<number, boolean>> {
    const args = [...this.#lineArgs(settings), '--numeric', ...offsets.map(String)];
    const { lines, end } = await this.#options.tools.run('gpioget', args);
    const levels = levelsIn(lines.join(' '), offsets.length);
    if (levels === undefined) throw await this.explain('gpioget', offsets, end);
    return new Map(offsets.map((offset, i) => [offset, levels[i] ?? false]));
  }

  async #read(program: Program, listener: EdgeListener, began: () => void): Promise<void> {
    const { clock, badLine } = this.#options;
    const distanceMs = distanceFromKernelMs(clock);
    let isWatching = false;
    let lastMs = Number.NEGATIVE_INFINITY;
    for await (const { lines, tooLong } of program.batches()) {
      for (const bytes of lines) {
        const line = bytes.toString('latin1');
        const edge = edgeIn(line);
        if (edge) listener.edge(edge.offset, edge.isRising, edge.kernelMs + distanceMs);
        else if (!isWatching && isBanner(line)) {
          isWatching = true;
          began();
        } else badLine();
      }
      if (tooLong > 0) badLine();
      listener.settled();
      // a first edge is told at once; a stream of them is fetched in heaps, which costs far less
      const nowMs = clock.monotonicMs();
      const isHeap = lines.length >= LINES_PER_BATCH_MAX;
      if (!isHeap && nowMs - lastMs < STREAM_MS) await delay(STREAM_MS);
      lastMs = clock.monotonicMs();
    }
  }

  #startGpioset(
    { offset, ...settings }: HoldRequest,
    extra: readonly string[],
    active: boolean,
  ): Promise<Program> {
    return startProgram({
      command: this.#options.tools.pathOf('gpioset'),
      args: [...this.#lineArgs(settings), ...extra, '--banner', `${offset}=${active ? 1 : 0}`],
      lineBytesMax: LINE_BYTES_MAX,
    });
  }
}

/** Never rejects after somebody has lost interest. */
function tooLate(): Promise<HubError> {
  return new Promise((resolve) => {
    setTimeout(
      () => resolve(lost(`gpiomon has said nothing within ${START_MS_MAX / 1_000} s`)),
      START_MS_MAX,
    ).unref();
  });
}
