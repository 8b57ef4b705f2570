import type { SessionFactory } from '../serial/session.ts';
import { STATE_PREFIX } from './device-memory.ts';
import { DEVICES_MAX, LinkSession } from './session.ts';

export interface LinkFactoryOptions {
  /** Where a reading is published; undefined when there is no such topic. */
  topic(bridgeId: string, device: string, metric: string): string | undefined;
  /** In [0, 1). */
  random(): number;
}

/** Holdfast Link on a serial port. Devices that were met once are its own. */
export function linkFactory({ topic, random }: LinkFactoryOptions): SessionFactory {
  const devices = new Set<string>();
  let isKnown = false;
  const add = (device: string) => {
    devices.delete(device);
    devices.add(device);
    const [first] = devices.size > DEVICES_MAX ? devices : [];
    if (first !== undefined) devices.delete(first);
  };
  const know = (state: ReadonlyMap<string, unknown>) => {
    for (const key of state.keys()) add(key.slice(STATE_PREFIX.length).split('/')[0] ?? '');
    isKnown = true;
  };
  return {
    statePrefix: STATE_PREFIX,
    know,
    owns: (device) => devices.has(device) || (isKnown ? false : undefined),
    open(bridgeId, state) {
      know(state);
      return new LinkSession({
        state,
        topic: (device, metric) => topic(bridgeId, device, metric),
        random,
        met: add,
      });
    },
  };
}
