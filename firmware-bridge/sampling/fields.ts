/** Options that all bridges which read at intervals have in common. */
import { z } from 'zod';
import { duration } from '../../config/fields.ts';

const TOPIC = /^(?:[A-Za-z0-9_-]+\/)*\{device\}(?:\/[A-Za-z0-9_-]+)*$/;
const TOPIC_CHARACTERS_MAX = 128;

/** Topic of the readings of all devices, such as `modbus/{device}`. */
export const deviceTopic = (preset: string) =>
  z
    .string()
    .max(TOPIC_CHARACTERS_MAX)
    .regex(TOPIC, 'must be levels of letters, digits, `-` and `_`, one of them `{device}`')
    .refine((topic) => !topic.startsWith('holdfast/'), "begins with `holdfast/`, the hub's own")
    .default(preset)
    .describe('Topic of the readings.');

/** Timers below 20 ms are not exact. */
export const interval = () => duration({ min: '20 ms', max: '1 d' });

export const timeout = () => duration({ min: '10 ms', max: '60 s' });
