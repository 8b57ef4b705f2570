import { join } from 'node:path';
import { namesIn } from '../../hub/machine/read-fact.ts';
import { readAttribute } from '../sampling/attribute.ts';
import type { Channel, Chip, ChipKind } from '../sampling/chip/kind.ts';
import type { Reading } from '../sampling/sensor.ts';
import { channelTypeOf } from './channel-type.ts';

/** A channel, of which there is a value in its unit, or a raw one with `scale` and `offset`. */
const CHANNEL_FILE = /^in_(.+)_(input|raw)$/;
/** What is kept of a channel besides its value now, and what is several numbers. */
const NO_CHANNEL = /_(?:peak|trough|mean|quaternion)$/;
/** Six digits are usual: `101.325000`. Gains have their unit after them. */
const NUMBER = /^-?\d+(?:\.\d+)?(?=$| dB$)/;

/** This driver has given percent and hPa where all others give m% and kPa; newer ones may not. */
const PERCENT_AND_HPA = new Set(['bme680']);
/** No place on Earth has so many kPa, and none so few hPa. */
const KPA_MAX = 200;
const MILLIPERCENT_MIN = 110;

export const IIO: ChipKind = {
  title: 'IIO',
  folder: ['bus', 'iio', 'devices'],
  isChip: /^iio:device\d+$/,
  remedy:
    'check its wires (`i2cdetect -y 1` shows its address), and load its driver: for a BME280 add ' +
    '`dtparam=i2c_arm=on` and `dtoverlay=i2c-sensor,bme280` to /boot/firmware/config.txt and reboot',
  channelsOf,
};

async function channelsOf(chip: Chip): Promise<readonly Channel[]> {
  const files = new Set(await namesIn(chip.folder));
  const channels = new Map<string, Channel>();
  for (const file of files) {
    const [, name = '', source] = CHANNEL_FILE.exec(file) ?? [];
    const type = NO_CHANNEL.test(name) ? undefined : channelTypeOf(name);
    if (type === undefined) continue;
    // a value in its unit is better than one that still has to be made of parts
    if (source === 'raw' && files.has(`in_${name}_input`)) continue;
    const { metric, unit, factor } = type;
    const parts = source === 'raw' ? partsOf(name, files) : undefined;
    const read = async (reading: Reading) => {
      const measured = await numberIn(chip, file, reading);
      if (parts === undefined) return odd(chip, name, measured) ?? measured * factor;
      const offset = parts.offset === undefined ? 0 : await numberIn(chip, parts.offset, reading);
      const scale = parts.scale === undefined ? 1 : await numberIn(chip, parts.scale, reading);
      return (measured + offset) * scale * factor;
    };
    channels.set(name, { name, metric, unit, read });
  }
  return [...channels.values()];
}

interface RawParts {
  readonly scale: string | undefined;
  readonly offset: string | undefined;
}

/** Files that say what a raw value is: of the channel itself, or of all of its type. */
function partsOf(name: string, files: ReadonlySet<string>): RawParts {
  const withoutModifier = name.replace(/_.*$/, '');
  const withoutIndex = withoutModifier.replaceAll(/\d+/g, '');
  const single = withoutIndex.replace(/-.*$/, '');
  const owners = [name, withoutModifier, withoutIndex, single].map((owner) => `in_${owner}_`);
  const fileOf = (what: string) =>
    [...owners, 'in_', ''].map((owner) => `${owner}${what}`).find((file) => files.has(file));
  return { scale: fileOf('scale'), offset: fileOf('offset') };
}

async function numberIn(chip: Chip, file: string, reading: Reading): Promise<number> {
  const text = await readAttribute(join(chip.folder, file), reading.signal);
  const [number] = NUMBER.exec(text) ?? [];
  if (number !== undefined) return Number(number);
  reading.badFrames('format', 1);
  throw new Error(`${file} says \`${text.slice(0, 32)}\`, which is no number`);
}

/** In the units of people; undefined: it is as the kernel's rules say. */
function odd(chip: Chip, name: string, measured: number): number | undefined {
  if (!PERCENT_AND_HPA.has(chip.name)) return undefined;
  if (name === 'pressure' && measured > KPA_MAX) return measured;
  return name === 'humidityrelative' && measured < MILLIPERCENT_MIN ? measured : undefined;
}
