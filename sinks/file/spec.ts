import { z } from 'zod';
import { bytes, duration, eventLimitFields, eventLimitOf } from '../../config/fields.ts';
import type { SinkSpec } from '../../hub/core/sink.ts';

/** A listing of the folder is read at every rotation: 10,000 names are quick even on an SD card. */
const FILES_MAX = 10_000;
/** Smaller files than one batch would mean one file, and one rename, a batch. */
const ROTATE_BYTES_MIN = 4096;

const rotate = z.strictObject({
  bytes_max: bytes()
    .refine((value) => value >= ROTATE_BYTES_MIN, { error: 'is at least `4 KiB`' })
    .prefault('64 MiB')
    .describe('A file that has grown to this size is closed and a new one is begun.'),
  age_max: duration()
    .refine((value) => value >= 1000, { error: 'is at least `1 s`' })
    .prefault('1 d')
    .describe('A file that is this old is closed and a new one is begun.'),
  files_max: z
    .int()
    .min(1)
    .max(FILES_MAX)
    .default(30)
    .describe('Closed files that are kept. The oldest is deleted when there are more.'),
});

const options = z.strictObject({
  path: z
    .string()
    .min(1)
    .describe('Folder of the files, relative to `hub.data_dir`. It is made when missing.'),
  content: z
    .enum(['payload', 'readings'])
    .default('payload')
    .describe('What `data` holds: the payload as it was published, or the decoded readings.'),
  ...eventLimitFields(),
  rotate: rotate.prefault({}).describe('When a file is closed, and how many are kept.'),
  compression: z
    .enum(['none', 'gzip'])
    .default('none')
    .describe('Compression of closed files. The file being written is always plain.'),
});

export type FileSinkOptions = z.output<typeof options>;

export const fileSinkSpec = {
  type: 'file',
  summary: 'Appends CloudEvents to rotated files, one JSON object a line.',
  options,
  eventLimit: eventLimitOf,
  create: async (value, context) => new (await import('./sink.ts')).FileSink(value, context),
} as const satisfies SinkSpec<typeof options>;
