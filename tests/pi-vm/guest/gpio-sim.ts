/**
 * Chips of the kernel's gpio-sim: real to everybody on this side, moved from the other side by
 * files. A pull is what the wire says to an input; the value is what an output says to the wire.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CONFIG = '/sys/kernel/config/gpio-sim';

export interface SimulatedChipOptions {
  /** Unique, also of the driver instance. */
  readonly name: string;
  readonly label: string;
  readonly lines: number;
  /** Names that the kernel shows, by offset. */
  readonly names?: Readonly<Record<number, string>>;
}

export class SimulatedChip {
  /** As in /dev. */
  readonly device: string;
  readonly #folder: string;
  readonly #label: string;

  constructor({ name, label, lines, names = {} }: SimulatedChipOptions) {
    this.#label = label;
    const config = join(CONFIG, name);
    const bank = join(config, 'bank');
    mkdirSync(bank, { recursive: true });
    writeFileSync(join(bank, 'num_lines'), `${lines}`);
    writeFileSync(join(bank, 'label'), label);
    for (const [offset, lineName] of Object.entries(names)) {
      mkdirSync(join(bank, `line${offset}`));
      writeFileSync(join(bank, `line${offset}`, 'name'), lineName);
    }
    writeFileSync(join(config, 'live'), '1');
    this.device = read(join(bank, 'chip_name'));
    const platform = read(join(config, 'dev_name'));
    this.#folder = join('/sys/devices/platform', platform, this.device);
  }

  /** The number that the kernel's old interface has for its first line. */
  get base(): number {
    const folder = '/sys/class/gpio';
    const chips = readdirSync(folder).filter((name) => /^gpiochip\d+$/.test(name));
    const own = chips.find((name) => read(join(folder, name, 'label')) === this.#label);
    return Number(own?.slice('gpiochip'.length));
  }

  /** The file that moves an input: `pull-up` or `pull-down`. */
  pullFile(line: number): string {
    return join(this.#folder, `sim_gpio${line}`, 'pull');
  }

  pull(line: number, up: boolean): void {
    writeFileSync(this.pullFile(line), up ? 'pull-up' : 'pull-down');
  }

  value(line: number): boolean {
    return read(join(this.#folder, `sim_gpio${line}`, 'value')) === '1';
  }
}

const read = (file: string): string => readFileSync(file, 'utf8').trim();

const TRACING = '/sys/kernel/tracing';

/** What the kernel notes, from now on, of values that lines are given: `gpio_value: 546 set 0`. */
export class OutputTrace {
  constructor() {
    execFileSync('mount', ['-t', 'tracefs', 'tracefs', TRACING]);
    writeFileSync(join(TRACING, 'events', 'gpio', 'gpio_value', 'enable'), '1');
  }

  get text(): string {
    return read(join(TRACING, 'trace'));
  }

  /** The last value that the line with this number was given, if any. */
  last(number: number): boolean | undefined {
    const given = [...this.text.matchAll(/gpio_value: (\d+) set (\d)/g)];
    const last = given.findLast(([, line]) => Number(line) === number);
    return last && last[2] === '1';
  }
}
