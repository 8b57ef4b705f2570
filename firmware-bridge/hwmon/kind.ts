import { join } from 'node:path';
import { namesIn, readFact } from '../../hub/machine/read-fact.ts';
import { readAttribute } from '../sampling/attribute.ts';
import type { Channel, Chip, ChipKind } from '../sampling/chip/kind.ts';
import type { Reading } from '../sampling/sensor.ts';
import { channelTypeOf } from './channel-type.ts';

const WHOLE_NUMBER = /^-?\d+$/;

export const HWMON: ChipKind = {
  title: 'hwmon',
  folder: ['class', 'hwmon'],
  isChip: /^hwmon\d+$/,
  remedy:
    'check its wires (`i2cdetect -y 1` shows its address), and load its driver: for an LM75 add ' +
    '`dtparam=i2c_arm=on` and `dtoverlay=i2c-sensor,lm75,addr=0x48` to /boot/firmware/config.txt and reboot',
  channelsOf,
};

async function channelsOf(chip: Chip): Promise<readonly Channel[]> {
  const files = new Set(await namesIn(chip.folder));
  const names = new Set<string>();
  for (const file of files) {
    const [name = ''] = /^.*(?=_(?:input|average)$)|^.*_alarm$/.exec(file) ?? [];
    if (channelTypeOf(name) !== undefined) names.add(name);
  }
  const found = [...names].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  return await Promise.all(found.map((name) => channelOf(chip, name, files)));
}

async function channelOf(chip: Chip, name: string, files: ReadonlySet<string>): Promise<Channel> {
  const type = channelTypeOf(name);
  if (type === undefined) throw new Error(`${name} is no channel`);
  const { metric, unit, factor, isAlarm } = type;
  if (isAlarm) {
    const read = async (reading: Reading) => (await numberIn(chip, name, reading)) !== 0;
    return { name, metric, unit, read };
  }
  const file = files.has(`${name}_input`) ? `${name}_input` : `${name}_average`;
  const fault = files.has(`${name}_fault`) ? `${name}_fault` : undefined;
  const read = async (reading: Reading) => {
    if (fault !== undefined && (await numberIn(chip, fault, reading)) !== 0)
      throw new Error(`${fault} says that it cannot be trusted: is its sensor connected?`);
    return (await numberIn(chip, file, reading)) * factor;
  };
  return { name, label: await readFact(chip.folder, `${name}_label`), metric, unit, read };
}

async function numberIn(chip: Chip, file: string, reading: Reading): Promise<number> {
  const text = await readAttribute(join(chip.folder, file), reading.signal);
  if (WHOLE_NUMBER.test(text)) return Number(text);
  reading.badFrames('format', 1);
  throw new Error(`${file} says \`${text.slice(0, 32)}\`, which is no number`);
}
