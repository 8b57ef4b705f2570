/** The 1-Wire buses of the kernel as folders: masters, and the thermometers below them. */
import { join } from 'node:path';
import { namesIn } from '../../hub/machine/read-fact.ts';
import { SENSOR_ID } from './fields.ts';

/** Ids of the thermometers by the folder of their bus master, both in the order of their names. */
export type Buses = ReadonlyMap<string, readonly string[]>;

const MASTER = /^w1_bus_master\d+$/;

/** Empty: the kernel has no 1-Wire bus. */
export async function findBuses(sys: string): Promise<Buses> {
  const devices = join(sys, 'bus', 'w1', 'devices');
  const masters = (await namesIn(devices)).filter((name) => MASTER.test(name));
  const buses = new Map<string, readonly string[]>();
  for (const master of masters) {
    const folder = join(devices, master);
    buses.set(
      folder,
      (await namesIn(folder)).filter((name) => SENSOR_ID.test(name)),
    );
  }
  return buses;
}

export const NO_BUS =
  'the kernel has no 1-Wire bus: add `dtoverlay=w1-gpio` (GPIO 4; another one: ' +
  '`dtoverlay=w1-gpio,gpiopin=17`) to /boot/firmware/config.txt and reboot';

export const NO_SENSOR =
  'no thermometer answers on the bus: check VDD, ground and data, and the pull-up of 4.7 kΩ from ' +
  'data to 3.3 V';
