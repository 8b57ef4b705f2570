/** What the lines must hold besides the types of their keys. Every problem names its key. */
import type { z } from 'zod';
import { checkUnits } from '../register/fields.ts';
import type { GpioFields, LineFields } from './fields.ts';
import { HEADER_CHIP_LABELS, isHeaderChip } from './header-pins.ts';
import { keyOfLine, type LineReference, parseLine } from './line-name.ts';

type Report = (path: readonly (string | number)[], message: string) => void;

/** A metric that a line gives, by the key that names it. */
export interface GivenMetric {
  readonly metric: string;
  readonly unit: string | undefined;
  readonly path: readonly string[];
}

export function metricsOf(line: LineFields): readonly GivenMetric[] {
  const { metric } = line;
  switch (line.mode) {
    case 'counter': {
      const total = { metric, unit: line.unit, path: ['metric'] };
      const { rate } = line;
      if (rate === undefined) return [total];
      return [total, { metric: rate.metric, unit: rate.unit, path: ['rate', 'metric'] }];
    }
    case 'frequency':
      return [{ metric, unit: 'Hz', path: ['metric'] }];
    case 'period':
      return [{ metric, unit: 'ms', path: ['metric'] }];
    case 'state':
    case 'edges':
    case 'output':
      return [{ metric, unit: undefined, path: ['metric'] }];
  }
}

/** Adds an issue for everything that is wrong in the options of a gpio bridge. */
export function checkLines(options: GpioFields, context: z.RefinementCtx): void {
  const report: Report = (path, message) =>
    context.addIssue({ code: 'custom', path: [...path], message });
  const lines = new Map<string, number>();
  const metrics = new Map<string, number>();
  for (const [i, line] of options.lines.entries()) {
    const inLine: Report = (path, message) => report(['lines', i, ...path], message);
    checkLine(line, options, inLine);
    const parsed = parseLine(line.line);
    if (!parsed.ok) inLine(['line'], parsed.problem);
    else {
      checkReference(parsed.line, options, inLine);
      claim(lines, keyOfLine(parsed.line), i, (first) =>
        inLine(['line'], `is ${line.line}, the same as lines[${first}]: a line has one use`),
      );
    }
    for (const { metric, path } of metricsOf(line))
      claim(metrics, `${line.device}/${metric}`, i, (first) =>
        inLine(path, `is \`${metric}\` of ${line.device}, which lines[${first}] gives too`),
      );
  }
  checkUnits(
    options.lines.map((line, i) => ({
      device: line.device,
      measured: metricsOf(line).map((one) => ({ ...one, index: i })),
    })),
    (_, { index, path }, message) => report(['lines', index, ...path.with(-1, 'unit')], message),
  );
}

function claim(owners: Map<string, number>, key: string, i: number, taken: (by: number) => void) {
  const owner = owners.get(key);
  if (owner === undefined) owners.set(key, i);
  else taken(owner);
}

function checkLine(line: LineFields, { backend }: GpioFields, report: Report): void {
  if (backend === 'sysfs' && line.bias !== undefined)
    report(
      ['bias'],
      'cannot be set through sysfs: use `backend: cdev`, a resistor, or `gpio=17=pu` in config.txt',
    );
}

function checkReference(line: LineReference, { chip, backend }: GpioFields, report: Report): void {
  if (line.by === 'name' && backend === 'sysfs')
    report(['line'], `is the name "${line.name}", and sysfs knows no names: write the BCM number`);
  // a device such as gpiochip0 may be the header; a label says so
  const isOtherChip = chip !== 'auto' && !/gpiochip\d+$/.test(chip) && !isHeaderChip(chip);
  if (line.by === 'offset' && line.pin !== undefined && isOtherChip)
    report(
      ['line'],
      `is pin ${line.pin} of the header, and the chip \`${chip}\` is none of a header ` +
        `(${HEADER_CHIP_LABELS.join(', ')}): write the number of the line`,
    );
}
