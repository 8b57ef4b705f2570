/** What `holdfast doctor` says of the lines. Only asks for them; takes none. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { describeError } from '../../hub/core/errors.ts';
import type { Finding } from '../../hub/core/finding.ts';
import { CONSUMER } from './cdev/cdev.ts';
import { chooseChip, linesOf, surveyChips } from './cdev/cdev-chip.ts';
import type { Chip, LineInfo } from './cdev/gpiod-output.ts';
import type { GpiodTools } from './cdev/gpiod-tools.ts';
import type { GpioFields } from './fields.ts';
import { MACHINE } from './gpio.ts';
import { isHeaderChip } from './header-pins.ts';
import { describeLine, type LineReference, parseLine } from './line-name.ts';
import { busyText, deniedRemedy, titleOf } from './messages.ts';
import { type Choice, chooseBackend, type Surroundings } from './open-backend.ts';
import { chooseSysfsChip, type SysfsChip, sysfsChips } from './sysfs/sysfs-chip.ts';

export async function examine(
  options: GpioFields,
  signal: AbortSignal,
  surroundings: Surroundings = MACHINE,
): Promise<readonly Finding[]> {
  try {
    const choice = await chooseBackend(options.backend, surroundings);
    if (signal.aborted) return [];
    return choice.kind === 'cdev'
      ? await examineCdev(options, choice, surroundings.tools)
      : await examineSysfs(options, choice, surroundings.sysRoot);
  } catch (error) {
    return [problem(`gpio ${options.chip}`, describeError(error))];
  }
}

/** The messages of this bridge end with what is to be done, after a colon. */
function problem(subject: string, text: string): Finding {
  const at = text.indexOf(': ');
  const remedy = at < 0 ? 'Look at the wiring and at `gpioinfo`.' : text.slice(at + 2);
  return { severity: 'problem', subject, detail: at < 0 ? text : text.slice(0, at), remedy };
}

const references = ({ lines }: GpioFields): readonly LineReference[] =>
  lines.flatMap(({ line }) => {
    const parsed = parseLine(line);
    return parsed.ok ? [parsed.line] : [];
  });

async function examineCdev(
  options: GpioFields,
  choice: Extract<Choice, { kind: 'cdev' }>,
  tools: GpiodTools,
): Promise<readonly Finding[]> {
  const chip = chooseChip(options.chip, await surveyChips(tools));
  const infos = await linesOf(tools, chip);
  const subject = `gpio ${titleOf(chip)}`;
  const problems = references(options).flatMap((line) => lineProblem(line, chip, infos) ?? []);
  const count = options.lines.length - problems.length;
  const detail =
    `By the character device with gpiod ${choice.version} (${choice.reason}); ` +
    `${count} of ${options.lines.length} lines are there and not held by others.`;
  return [{ severity: 'ok', subject, detail }, ...problems];
}

function lineProblem(
  line: LineReference,
  chip: Chip,
  infos: readonly LineInfo[],
): Finding | undefined {
  const name = `${describeLine(line, isHeaderChip(chip.label))} of ${titleOf(chip)}`;
  const subject = `gpio ${name}`;
  const info = infos.find((one) =>
    line.by === 'name' ? one.name === line.name : one.offset === line.offset,
  );
  if (info === undefined)
    return problem(subject, `${name} does not exist: \`gpioinfo -c ${chip.name}\` lists the lines`);
  const { consumer } = info;
  if (consumer === undefined || consumer.startsWith(CONSUMER)) return undefined;
  return problem(subject, busyText(name, consumer));
}

async function examineSysfs(
  options: GpioFields,
  choice: Extract<Choice, { kind: 'sysfs' }>,
  root: string,
): Promise<readonly Finding[]> {
  const chip = await chooseSysfsChip(options.chip, await sysfsChips(root), root);
  const subject = `gpio ${titleOf(chip)}`;
  const file = join(root, 'class/gpio/export');
  const mayWrite = await access(file, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!mayWrite)
    return [
      problem(subject, `${file} may not be written by the user of the hub: ${deniedRemedy()}`),
    ];
  return [
    {
      severity: 'note',
      subject,
      detail:
        `By sysfs from line ${chip.base} on (${choice.reason}). Quick edges can merge, and bias ` +
        'is not to be had: gpiod 2 does better.',
    },
    ...references(options).flatMap((line) => sysfsLineProblem(line, chip) ?? []),
  ];
}

function sysfsLineProblem(line: LineReference, chip: SysfsChip): Finding | undefined {
  const name = `${describeLine(line, isHeaderChip(chip.label))} of ${titleOf(chip)}`;
  if (line.by === 'name')
    return problem(`gpio ${name}`, `${name} is a name, which sysfs has not: write its number`);
  if (line.offset < chip.lines) return undefined;
  return problem(`gpio ${name}`, `${name} does not exist: the last one is ${chip.lines - 1}`);
}
