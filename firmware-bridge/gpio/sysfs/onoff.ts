/** The part of the package `onoff` that is used here; optional, so its types may be missing. */
import { describeError } from '../../../hub/core/errors.ts';
import { lost } from '../messages.ts';

export interface SysfsGpio {
  watch(listener: (error: Error | null | undefined, value: number) => void): void;
  read(): Promise<number>;
  write(value: 0 | 1): Promise<void>;
  /** Stops watching as well. */
  unexport(): void;
}

export interface GpioOptions {
  readonly activeLow: boolean;
}

/** `number`: base of the chip + offset. Throws errors of the file system. */
export interface Onoff {
  input(number: number, edges: string, options: GpioOptions): SysfsGpio;
  /** `high` and `low` are levels of the wire, whatever `activeLow` says. */
  output(number: number, level: 'high' | 'low', options: GpioOptions): SysfsGpio;
}

interface OnoffModule {
  readonly Gpio: new (
    number: number,
    direction: string,
    edges: string,
    options: GpioOptions,
  ) => SysfsGpio;
}

/** It goes on with every place that was looked at. */
const CAUSE_CHARACTERS_MAX = 80;
/** A variable, so that this compiles without the package. */
const PACKAGE: string = 'onoff';

function isOnoff(module: unknown): module is OnoffModule {
  return (
    typeof module === 'object' &&
    module !== null &&
    'Gpio' in module &&
    typeof module.Gpio === 'function'
  );
}

/** Throws BRIDGE_LOST, which says how to install it, when it cannot be loaded. */
export async function loadOnoff(): Promise<Onoff> {
  let module: unknown;
  try {
    module = await import(PACKAGE);
  } catch (error) {
    throw lost(
      'the package `onoff`, which sysfs needs, cannot be loaded: ' +
        '`sudo apt install build-essential`, then `npm install` or `npm rebuild epoll` in the ' +
        `folder of the hub (${describeError(error).slice(0, CAUSE_CHARACTERS_MAX)})`,
    );
  }
  if (!isOnoff(module)) throw lost('the package `onoff` has another form: `npm install` again');
  const { Gpio } = module;
  return {
    input: (number, edges, options) => new Gpio(number, 'in', edges, options),
    output: (number, level, options) => new Gpio(number, level, 'none', options),
  };
}
