import { z } from 'zod';
import { duration } from '../fields.ts';

export const clock = z.strictObject({
  wait_for_sync_max: duration({ max: '365 d' })
    .prefault('10 min')
    .describe(
      'How long after the start sinks hold back events whose time is not known yet because the ' +
        'clock has not been synchronised, alarms included. Then they are sent with an estimated ' +
        'time. 10 min let a modem connect and a time server answer. `0 s` does not wait. Where ' +
        'nothing tells whether the clock is right, as in a container, nothing waits.',
    ),
});
