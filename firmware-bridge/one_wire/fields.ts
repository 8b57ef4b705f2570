import { z } from 'zod';
import { id, metric } from '../../config/fields.ts';
import { deviceTopic, interval, timeout } from '../sampling/fields.ts';

/** What the driver w1_therm reads: DS18S20, DS1822, DS18B20, DS1825 and DS28EA00. */
export const SENSOR_ID = /^(?:10|22|28|3b|42)-[0-9a-f]{12}$/;
/** The kernel looks for no more on one bus by default (`w1_master_max_slave_count`: 64). */
export const SENSORS_MAX = 256;
/** More is no calibration, but a sensor that is broken. */
const OFFSET_MAX = 20;

const sensor = z.strictObject({
  sensor: z
    .string()
    .toLowerCase()
    .regex(SENSOR_ID, 'is no id of a thermometer such as `28-0316a2795ff0`')
    .meta({ examples: ['28-0316a2795ff0'] })
    .describe('Its id: the name of its folder in `/sys/bus/w1/devices`.'),
  device: id().describe('Name of the device in topics and readings.'),
  metric: metric().default('temperature').describe('Name of the metric.'),
  offset: z
    .number()
    .min(-OFFSET_MAX)
    .max(OFFSET_MAX)
    .default(0)
    .describe('Added to the temperature, in °C: what a comparison has shown.'),
  interval: interval().optional().describe('Time between two readings. As the bridge says.'),
});

export const fields = z.strictObject({
  topic: deviceTopic('one_wire/{device}'),
  interval: interval().prefault('10 s').describe('Time between two readings of a sensor.'),
  timeout: timeout()
    .prefault('5 s')
    .describe('How long a reading may take; the sensor itself takes 750 ms at 12 bits.'),
  resolution: z
    .union([z.literal(9), z.literal(10), z.literal(11), z.literal(12)])
    .optional()
    .meta({ examples: [10] })
    .describe(
      'Bits of a reading: 9 (0.5 °C, 95 ms) to 12 (0.0625 °C, 750 ms). As the sensor has it by ' +
        'default, which is 12. Setting it needs a permission, see the README of the bridge.',
    ),
  sensors: z
    .array(sensor)
    .max(SENSORS_MAX)
    .default([])
    .describe('Names for sensors. A sensor without one is a device that is called as its id.'),
  discover: z
    .boolean()
    .optional()
    .meta({ examples: [true] })
    .describe(
      'Whether sensors that are not in `sensors` are read too. Default: when `sensors` is empty.',
    ),
});

export type OneWireFields = z.output<typeof fields>;
export type SensorFields = OneWireFields['sensors'][number];
