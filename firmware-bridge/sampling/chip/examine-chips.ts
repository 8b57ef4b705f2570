import type { Finding } from '../../../hub/core/finding.ts';
import { MACHINE, type MachineRoots } from '../../../hub/machine/roots.ts';
import type { ChipsFields } from './fields.ts';
import { describeChip, findChips, listed, matchChip, noChip } from './find-chips.ts';
import type { Chip, ChipKind } from './kind.ts';

/** As many as people read on one line. */
const LISTED_MAX = 12;

/** What `holdfast doctor` says of the chips. Measures nothing. */
export async function examineChips(
  kind: ChipKind,
  { chips: wanted }: ChipsFields,
  signal: AbortSignal,
  { sys }: Pick<MachineRoots, 'sys'> = MACHINE,
): Promise<readonly Finding[]> {
  const chips = await findChips(kind, sys);
  if (chips.length === 0) {
    const detail = noChip(kind, wanted);
    return [{ severity: 'problem', subject: kind.title, detail, remedy: kind.remedy }];
  }
  if (wanted.length === 0) return [await allChips(kind, chips)];
  const findings: Finding[] = [];
  for (const one of wanted) {
    if (signal.aborted) break;
    const subject = `${kind.title} ${one.device}`;
    const match = matchChip(one, chips);
    if (match.is === 'not found') {
      findings.push({ severity: 'problem', subject, detail: match.why, remedy: kind.remedy });
      continue;
    }
    const channels = await kind.channelsOf(match.chip);
    const known = new Set(channels.flatMap(({ name, label }) => [name, label ?? name]));
    const list = channels.slice(0, LISTED_MAX).map(({ name }) => name);
    const has = `has ${list.join(', ') || 'nothing to be read'}`;
    const absent = (one.channels ?? []).filter(({ channel }) => !known.has(channel));
    findings.push({ severity: 'ok', subject, detail: `${describeChip(match.chip)} ${has}` });
    for (const { channel } of absent)
      findings.push({
        severity: 'problem',
        subject,
        detail: `${describeChip(match.chip)} has no channel \`${channel}\``,
        remedy: `Correct \`channel\`: it ${has}.`,
      });
  }
  return findings;
}

async function allChips(kind: ChipKind, chips: readonly Chip[]): Promise<Finding> {
  const subject = kind.title;
  const channels = await Promise.all(chips.map((chip) => kind.channelsOf(chip)));
  const measuring = chips.filter((_, i) => channels[i]?.length);
  if (measuring.length > 0)
    return { severity: 'ok', subject, detail: `reads ${listed(measuring)}` };
  const detail = `none of the chips measures anything: ${listed(chips)}`;
  return { severity: 'problem', subject, detail, remedy: kind.remedy };
}
