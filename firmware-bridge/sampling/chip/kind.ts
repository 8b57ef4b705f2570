/** What iio and hwmon have in common: chips as folders of the kernel, channels as files in them. */
import type { Value } from '../messages.ts';
import type { Reading } from '../sensor.ts';

/** One thing that a chip measures. */
export interface Channel {
  /** As the kernel calls it: `temp`, `voltage0`, `in1`. */
  readonly name: string;
  /** What people may call it as well: `Package id 0`. */
  readonly label?: string | undefined;
  readonly metric: string;
  /** Of the value that `read` answers. */
  readonly unit: string | undefined;
  /** In units that people expect. Rejects with the system's error, or with words for people. */
  read(reading: Reading): Promise<Value>;
}

export interface ChipKind {
  /** For people: `IIO`. */
  readonly title: string;
  /** The folder of all chips, below `/sys`. */
  readonly folder: readonly string[];
  readonly isChip: RegExp;
  /** What to do when there is no chip at all. */
  readonly remedy: string;
  /** What can be read of the chip in this folder, by the files there. */
  channelsOf(chip: Chip): Promise<readonly Channel[]>;
}

/** A chip that is there. */
export interface Chip {
  /** Its real folder: another chip that gets its number later has another one. */
  readonly folder: string;
  /** What its driver calls it; empty when it says nothing. */
  readonly name: string;
  readonly label: string | undefined;
  /** Name of the folder above: `1-0076`. */
  readonly parent: string;
}
