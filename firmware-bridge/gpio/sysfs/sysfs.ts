/**
 * Lines by /sys/class/gpio and the package `onoff`: for kernels and systems without gpiod 2.
 *
 * What it cannot do: bias, names, the time of the interrupt; and of two quick edges the second
 * hides the first. So counting is as good as it gets, and says so where people look.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../../hub/core/clock.ts';
import { HubError } from '../../../hub/core/errors.ts';
import type {
  Backend,
  EdgeListener,
  Holder,
  HoldRequest,
  Watch,
  WatchSettings,
} from '../backend.ts';
import { isHeaderChip } from '../header-pins.ts';
import { describeLine, type LineReference } from '../line-name.ts';
import { Debouncer } from '../lines/debouncer.ts';
import { busyText, deniedRemedy, lost, titleOf } from '../messages.ts';
import type { Onoff, SysfsGpio } from './onoff.ts';
import type { SysfsChip } from './sysfs-chip.ts';
import { SysfsHolder } from './sysfs-holder.ts';

/** `onoff` swallows the first event after it began to watch: by then that one has come. */
const SETTLE_MS = 500;
/** An event that is under way while the level is read has arrived by then. */
const UNDER_WAY_MS = 50;

export class SysfsBackend implements Backend {
  readonly kind = 'sysfs';
  readonly title: string;
  readonly onHeader: boolean;
  readonly #onoff: Onoff;
  readonly #chip: SysfsChip;
  readonly #clock: Clock;

  constructor(onoff: Onoff, chip: SysfsChip, clock: Clock) {
    this.#onoff = onoff;
    this.#chip = chip;
    this.#clock = clock;
    this.title = `${titleOf(chip)} from ${chip.base} by sysfs, where quick edges can merge`;
    this.onHeader = isHeaderChip(chip.label);
  }

  offsetOf(line: LineReference): number {
    if (line.by === 'name')
      throw lost(
        `line "${line.name}": sysfs knows no names: write its number, or use \`backend: cdev\``,
      );
    if (line.offset < this.#chip.lines) return line.offset;
    const last = this.#chip.lines - 1;
    throw lost(`${titleOf(this.#chip)} has no line ${line.offset}: its last one is ${last}`);
  }

  async watch(
    offsets: readonly number[],
    settings: WatchSettings,
    listener: EdgeListener,
  ): Promise<Watch> {
    const watched: WatchedLine[] = [];
    const stop = async () => {
      for (const line of watched) line.stop();
    };
    let end = (_: HubError) => {};
    const ended = new Promise<HubError>((resolve) => {
      end = resolve;
    });
    try {
      const levels = new Map<number, boolean>();
      for (const offset of offsets) {
        this.#refuseBias(offset, settings);
        const line = this.#open(offset, (number, edges) =>
          this.#onoff.input(number, edges, { activeLow: settings.activeLow }),
        )(settings.debounceMs > 0 ? 'both' : settings.edges);
        const fail = (error: unknown) => end(this.#explain(offset, error));
        const one = new WatchedLine(line, { offset, settings, listener, clock: this.#clock, fail });
        watched.push(one);
        levels.set(offset, await one.begin());
      }
      return { levels, ended, stop };
    } catch (error) {
      await stop();
      throw error;
    }
  }

  async hold(request: HoldRequest): Promise<Holder> {
    const { offset, active, activeLow } = request;
    this.#refuseBias(offset, request);
    const line = this.#open(offset, (number) =>
      this.#onoff.output(number, active === activeLow ? 'low' : 'high', { activeLow }),
    )('none');
    return new SysfsHolder(line, request, (error) => this.#explain(offset, error));
  }

  #open(offset: number, open: (number: number, edges: string) => SysfsGpio) {
    return (edges: string): SysfsGpio => {
      try {
        return open(this.#chip.base + offset, edges);
      } catch (error) {
        throw this.#explain(offset, error);
      }
    };
  }

  #name(offset: number): string {
    const line = describeLine({ by: 'offset', offset }, this.onHeader);
    return `${line} of ${titleOf(this.#chip)}`;
  }

  #refuseBias(offset: number, { bias }: { readonly bias: string | undefined }): void {
    if (bias === undefined) return;
    throw lost(
      `${this.#name(offset)} has \`bias: ${bias}\`, which sysfs cannot set: leave it out and use ` +
        'a resistor or `gpio=17=pu` in config.txt, or install gpiod 2 for `backend: cdev`',
    );
  }

  #explain(offset: number, error: unknown): HubError {
    if (error instanceof HubError) return error;
    const name = this.#name(offset);
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    switch (code) {
      case 'EBUSY':
        return lost(busyText(name, undefined));
      case 'EACCES':
      case 'EPERM':
        return lost(`${name} may not be used by the user of the hub: ${deniedRemedy()}`, error);
      case 'EROFS':
        return lost(`${name}: /sys is read-only here; give the hub /sys/class/gpio`, error);
      case 'EINVAL':
      case 'ENOENT':
      case 'ENODEV':
        return lost(`${name} is not there for sysfs: is its chip plugged in?`, error);
      default:
        return lost(`${name} cannot be used by sysfs`, error);
    }
  }
}

interface WatchedLineOptions {
  readonly offset: number;
  readonly settings: WatchSettings;
  readonly listener: EdgeListener;
  readonly clock: Clock;
  readonly fail: (error: unknown) => void;
}

class WatchedLine {
  readonly #line: SysfsGpio;
  readonly #options: WatchedLineOptions;
  #debouncer: Debouncer | undefined;
  #level = false;
  #settling: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(line: SysfsGpio, options: WatchedLineOptions) {
    this.#line = line;
    this.#options = options;
  }

  /** Its level. */
  async begin(): Promise<boolean> {
    const { settings, clock, fail } = this.#options;
    this.#level = (await this.#line.read()) === 1;
    if (settings.debounceMs > 0)
      this.#debouncer = new Debouncer(settings.debounceMs, this.#level, (level, atMs) =>
        this.#tell(level, atMs),
      );
    this.#line.watch((error, value) => {
      if (this.#isStopped) return;
      if (error) fail(error);
      else this.#see(value === 1, clock.monotonicMs());
    });
    this.#settling = setTimeout(() => this.#settle().catch(fail), SETTLE_MS);
    return this.#level;
  }

  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    clearTimeout(this.#settling);
    this.#debouncer?.stop();
    this.#line.unexport();
  }

  /** The event that was swallowed may have been a real one. */
  async #settle(): Promise<void> {
    const before = this.#level;
    const level = (await this.#line.read()) === 1;
    await delay(UNDER_WAY_MS); // else the edge of just now would count twice
    if (!this.#isStopped && level !== before && before === this.#level)
      this.#see(level, this.#options.clock.monotonicMs());
  }

  #see(level: boolean, atMs: number): void {
    this.#level = level;
    if (this.#debouncer) this.#debouncer.see(level, atMs);
    else this.#tell(level, atMs);
  }

  #tell(level: boolean, atMs: number): void {
    const { offset, settings, listener } = this.#options;
    if (settings.edges !== 'both' && level !== (settings.edges === 'rising')) return;
    listener.edge(offset, level, atMs);
    listener.settled();
  }
}
