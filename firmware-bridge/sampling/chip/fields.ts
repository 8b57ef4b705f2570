/** Options of bridges that read chips through a driver of the kernel: iio and hwmon. */
import { z } from 'zod';
import { id, metric } from '../../../config/fields.ts';
import { deviceTopic, interval, timeout } from '../fields.ts';

/** An I2C bus has 112 addresses. */
const CHIPS_MAX = 128;
/** A board has some tens. */
const CHANNELS_MAX = 128;
/** Longer ones are no names of the kernel. */
const NAME_CHARACTERS_MAX = 128;

const name = () => z.string().min(1).max(NAME_CHARACTERS_MAX);

export interface Examples {
  readonly name: string;
  readonly parent: string;
  readonly channel: string;
  readonly topic: string;
}

/** The fields of a bridge; the examples are those of its documentation. */
export const chipFields = (examples: Examples) => {
  const channel = z.strictObject({
    channel: name()
      .meta({ examples: [examples.channel] })
      .describe('Its name: the part of the file name that says what it measures.'),
    metric: metric().optional().describe('Name of the metric. Default: as the bridge calls it.'),
    scale: z
      .number()
      .refine((value) => value !== 0, 'is 0, which makes every value 0')
      .optional()
      .describe('The value is `measured × scale + offset`. Default 1.'),
    offset: z.number().optional().describe('Added after `scale`. Default 0.'),
    unit: z
      .string()
      .min(1)
      .max(32)
      .optional()
      .describe('Unit of the value. Default: as the bridge knows it, without `scale`.'),
    min: z.number().optional().describe('Readings below it are left out.'),
    max: z.number().optional().describe('Readings above it are left out.'),
  });
  const chip = z.strictObject({
    name: name()
      .optional()
      .meta({ examples: [examples.name] })
      .describe('What the driver calls the chip: its file `name`.'),
    label: name().optional().describe('What the device tree calls the chip: its file `label`.'),
    parent: name()
      .optional()
      .meta({ examples: [examples.parent] })
      .describe('Where it is: `1-0076` is address 0x76 on I2C bus 1, `spi0.0` the first of SPI.'),
    device: id().describe('Name of the device in topics and readings.'),
    interval: interval().optional().describe('Time between two readings. As the bridge says.'),
    channels: z
      .array(channel)
      .min(1)
      .max(CHANNELS_MAX)
      .optional()
      .describe('What is read. Default: everything that it measures.'),
  });
  return {
    topic: deviceTopic(examples.topic),
    interval: interval().prefault('10 s').describe('Time between two readings of a chip.'),
    timeout: timeout().prefault('5 s').describe('How long reading a chip may take.'),
    chips: z
      .array(chip)
      .max(CHIPS_MAX)
      .default([])
      .describe(
        'Which chips are read: `name`, `label` and `parent` say which one is meant, never its ' +
          'number, which changes. Default: every chip; its device is called `<name>-<parent>`.',
      ),
  };
};

const whole = z.strictObject(
  chipFields({ name: 'bme280', parent: '1-0076', channel: 'temp', topic: 'iio/{device}' }),
);
export type ChipsFields = z.output<typeof whole>;
export type ChipFields = ChipsFields['chips'][number];
export type ChannelFields = NonNullable<ChipFields['channels']>[number];
