/**
 * Programs that print what those of gpiod 2.2.1 print, for machines without a GPIO; the real ones
 * run in the virtual machine (tests/pi-vm). Edges are what a test appends to a file.
 */
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GpiodTools } from '../../firmware-bridge/gpio/cdev/gpiod-tools.ts';
import type { Surroundings } from '../../firmware-bridge/gpio/open-backend.ts';
import { HubError } from '../../hub/core/errors.ts';

/** `refuse-<program>` or `refuse-<line>` holds what a program says instead of doing its work. */
const BEGIN = `#!/bin/sh
cd "$(dirname "$0")"
name=$(basename "$0")
echo "$name $*" >> calls
for one in "$name" "$@"; do
  one=\${one%%=*}
  if [ -f "refuse-$one" ]; then echo "$name: $(cat "refuse-$one")" >&2; exit 1; fi
done
`;
const PROGRAMS = {
  gpiodetect: 'case $1 in --version) cat version ;; *) cat chips ;; esac',
  gpioinfo: 'cat info',
  gpioget: `found=
while [ $# -gt 0 ]; do
  case $1 in
    -c|-C|-b) shift ;;
    -*) ;;
    *) found="$found $(cat "level-$1" 2>/dev/null || echo 0)" ;;
  esac
  shift
done
echo $found`,
  gpiomon: `echo $$ >> pids
begin=$(($(wc -c < edges) + 1))
echo "Monitoring lines ..."
if [ -f last-edges ]; then
  trap 'for i in 1 2 3; do cat last-edges; sleep 0.005; done; exit 0' TERM
  tail -c "+$begin" -f edges &
  wait
fi
exec tail -c "+$begin" -f edges`,
  gpioset: `for last; do :; done
echo "$last" >> set
period=
while [ $# -gt 0 ]; do
  case $1 in -t) period=$2 ;; esac
  shift
done
echo $$ >> pids
echo "Setting line ..."
case $period in
  0) exit 0 ;;
  *ms,0)
    period=\${period%ms,0}
    sleep "$(printf '%d.%03d' $((period / 1000)) $((period % 1000)))"
    exit 0 ;;
esac
exec sleep 600`,
} as const;

export class GpiodStandIn {
  readonly #folder = mkdtempSync(join(tmpdir(), 'holdfast-gpiod-'));
  /** What /proc/interrupts would say; `CONSUMER` stands for the name of the last gpiomon. */
  interrupts = '';

  constructor() {
    for (const [name, script] of Object.entries(PROGRAMS)) {
      this.write(name, `${BEGIN}${script}\n`);
      chmodSync(this.path(name), 0o755);
    }
    this.write('version', 'gpiodetect (libgpiod) v2.2.1\n');
    this.write('chips', 'gpiochip0 [pinctrl-bcm2711] (58 lines)\n');
    this.write('info', 'gpiochip0 - 58 lines:\n\tline   4:\t"DOOR"          \tinput\n');
    this.write('edges', '');
    mkdirSync(this.path('dev'));
    writeFileSync(join(this.path('dev'), 'gpiochip0'), '');
  }

  get surroundings(): Surroundings {
    return {
      tools: new GpiodTools(this.#folder),
      onoff: async () => {
        throw new HubError('BRIDGE_LOST', 'the package `onoff` is not there');
      },
      sysRoot: this.path('sys'),
      devRoot: this.path('dev'),
      interrupts: async () => {
        const call = this.lines('calls').findLast((line) => line.startsWith('gpiomon'));
        return this.interrupts.replaceAll('CONSUMER', / -C (\S+)/.exec(call ?? '')?.[1] ?? '');
      },
    };
  }

  path(file: string): string {
    return join(this.#folder, file);
  }

  write(file: string, text: string): void {
    writeFileSync(this.path(file), text);
  }

  remove(file: string): void {
    rmSync(this.path(file), { force: true });
  }

  /** What programs were called with, and which outputs were set: `26=1`. */
  lines(file: 'calls' | 'set'): readonly string[] {
    if (!existsSync(this.path(file))) return [];
    return readFileSync(this.path(file), 'utf8').trim().split('\n');
  }

  /** Edges of a line, now, one after the other: true is rising. */
  edges(offset: number, ...rising: readonly boolean[]): void {
    appendFileSync(this.path('edges'), this.#printed(offset, rising));
  }

  /** Edges that each gpiomon that is started from now on prints thrice when it is ended. */
  lastEdges(offset: number, ...rising: readonly boolean[]): void {
    this.write('last-edges', this.#printed(offset, rising));
  }

  #printed(offset: number, rising: readonly boolean[]): string {
    const nowNs = process.hrtime.bigint();
    const printed = rising.map((up, i) => {
      const atNs = nowNs + BigInt(i);
      const nanoseconds = String(atNs % 1_000_000_000n).padStart(9, '0');
      return `${up ? 1 : 2} ${offset} ${atNs / 1_000_000_000n}.${nanoseconds}\n`;
    });
    return printed.join('');
  }

  /** Every gpiomon and gpioset ends. */
  endPrograms(): void {
    if (!existsSync(this.path('pids'))) return;
    for (const pid of readFileSync(this.path('pids'), 'utf8').trim().split('\n'))
      try {
        process.kill(Number(pid));
      } catch {
        // it has ended before
      }
    this.remove('pids');
  }

  /** The chip is pulled out: nothing of it can be had any more. */
  unplug(): void {
    for (const program of ['gpiomon', 'gpioset', 'gpioget'])
      this.write(`refuse-${program}`, "unable to open chip '/dev/gpiochip0': No such device");
    this.endPrograms();
  }

  plug(): void {
    for (const program of ['gpiomon', 'gpioset', 'gpioget']) this.remove(`refuse-${program}`);
  }

  stop(): void {
    this.endPrograms();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
