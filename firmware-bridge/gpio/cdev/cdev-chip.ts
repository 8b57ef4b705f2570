/** Finds a chip of the character device, and lines on it by their names. */

import { isHeaderChip } from '../header-pins.ts';
import { deniedRemedy, lost, noChip, severalChips } from '../messages.ts';
import { type Chip, chipIn, type LineInfo, lineInfoIn, troubleIn } from './gpiod-output.ts';
import type { GpiodTools } from './gpiod-tools.ts';

export interface ChipSurvey {
  readonly chips: readonly Chip[];
  /** What gpiodetect said of chips that it could not open. */
  readonly complaints: readonly string[];
}

export async function surveyChips(tools: GpiodTools): Promise<ChipSurvey> {
  const { lines, end } = await tools.run('gpiodetect', []);
  return { chips: lines.flatMap((line) => chipIn(line) ?? []), complaints: end.errorLines };
}

/** The chip that is meant by `wanted`: `auto`, a label, `gpiochip0` or `/dev/gpiochip0`. */
export function chooseChip(wanted: string, { chips, complaints }: ChipSurvey): Chip {
  const device = wanted.replace(/^\/dev\//, '');
  const found = chips.filter(({ name, label }) =>
    wanted === 'auto' ? isHeaderChip(label) : name === device || label === wanted,
  );
  const [chip, second] = found;
  if (chip !== undefined && second === undefined) return chip;
  if (chip !== undefined) throw lost(severalChips(chip.label, found));
  const denied = complaints.find((line) => troubleIn(line) === 'denied');
  if (denied !== undefined)
    throw lost(`a GPIO chip may not be opened (${denied}): ${deniedRemedy()}`);
  throw lost(noChip(wanted, chips));
}

/** Every line of a chip, by gpioinfo. */
export async function linesOf(tools: GpiodTools, chip: Chip): Promise<readonly LineInfo[]> {
  const { lines } = await tools.run('gpioinfo', ['-c', chip.name]);
  return lines.flatMap((line) => lineInfoIn(line) ?? []);
}
