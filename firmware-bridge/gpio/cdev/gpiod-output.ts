/** What the programs of gpiod 2 print. Pure. */

/** The version of a program of gpiod: `gpiodetect (libgpiod) v2.2.1` → 2.2.1. */
export function versionIn(text: string): { major: number; version: string } | undefined {
  const [, version, major] = /\(libgpiod\) v?((\d+)\.[\w.+-]*)/.exec(text) ?? [];
  return version === undefined ? undefined : { major: Number(major), version };
}

export interface Chip {
  /** As under /dev: `gpiochip0`. */
  readonly name: string;
  readonly label: string;
  readonly lines: number;
}

/** A line of gpiodetect: `gpiochip0 [pinctrl-bcm2711] (58 lines)`. */
export function chipIn(line: string): Chip | undefined {
  const [, name, label, lines] = /^(\S+) \[(.*)\] \((\d+) lines?\)$/.exec(line.trim()) ?? [];
  if (name === undefined || label === undefined) return undefined;
  return { name, label, lines: Number(lines) };
}

export interface LineInfo {
  readonly offset: number;
  readonly name: string | undefined;
  /** Who holds it; undefined: nobody. */
  readonly consumer: string | undefined;
}

/**
 * A line of gpioinfo: `line  17:\t"GPIO17"  \tinput consumer="spi0 CS0"`. Of a line without a name
 * gpiod 2.2 does not quote the consumer either.
 */
export function lineInfoIn(text: string): LineInfo | undefined {
  const [, offset, name, rest] = /^\s*line\s+(\d+):\s+(unnamed|".*?")\s+(.*)$/.exec(text) ?? [];
  if (offset === undefined || rest === undefined) return undefined;
  return {
    offset: Number(offset),
    name: name === 'unnamed' ? undefined : name?.slice(1, -1),
    consumer: /\bconsumer=(.*)$/.exec(rest)?.[1]?.replace(/^"(.*)"$/, '$1'),
  };
}

/** What gpiomon is asked to print for each edge: kind, offset, seconds. */
export const EDGE_FORMAT = '%e %o %S';

export interface PrintedEdge {
  readonly isRising: boolean;
  readonly offset: number;
  /** On the clock of the kernel that never jumps. */
  readonly kernelMs: number;
}

/** `1 17 1795.313497185` → a rising edge of line 17, 1795 s after the start of the machine. */
export function edgeIn(line: string): PrintedEdge | undefined {
  const [, kind, offset, seconds, nanoseconds] =
    /^([12]) (\d{1,9}) (\d{1,12})\.(\d{9})$/.exec(line) ?? [];
  if (kind === undefined) return undefined;
  return {
    isRising: kind === '1',
    offset: Number(offset),
    kernelMs: Number(seconds) * 1_000 + Number(nanoseconds) / 1e6,
  };
}

/** The line after which gpiomon and gpioset have what they asked for. */
export function isBanner(line: string): boolean {
  return /^(Monitoring|Setting) lines? /.test(line);
}

/** `gpioget --numeric`: `1 0` → the levels in the order in which they were asked for. */
export function levelsIn(text: string, count: number): readonly boolean[] | undefined {
  const levels = text.trim().split(/\s+/);
  if (levels.length !== count || levels.some((one) => one !== '0' && one !== '1')) return undefined;
  return levels.map((one) => one === '1');
}

/** What a program of gpiod complained of. */
export type Trouble = 'busy' | 'denied' | 'no_chip' | 'no_line' | 'gone' | 'refused' | 'other';

const TROUBLES: readonly (readonly [RegExp, Trouble])[] = [
  [/Device or resource busy/i, 'busy'],
  [/Permission denied|Operation not permitted/i, 'denied'],
  [/cannot find GPIO chip|No such file or directory/i, 'no_chip'],
  [/cannot find line|is out of range/i, 'no_line'],
  [/No such device/i, 'gone'],
  [/Invalid argument|not supported/i, 'refused'],
];

export function troubleIn(text: string): Trouble {
  return TROUBLES.find(([pattern]) => pattern.test(text))?.[1] ?? 'other';
}
