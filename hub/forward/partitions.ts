import type { HubEvent } from '../core/event.ts';
import type { Partition } from './flight.ts';

/** A few times the devices that a Pi knows; beyond it the parts are found anew. */
const KEYS_MAX = 10_000;

/**
 * Divides devices into parts of about equal load: one that is new goes to the part that has had the
 * fewest events, and stays there for as long as the partition is in use.
 */
export function partitions(keyOf: (event: HubEvent) => number): (width: number) => Partition {
  let ids = 0;
  let current: Partition | undefined;
  let parts = new Map<number, number>();

  function partition(width: number): Partition {
    const loads = Array<number>(width).fill(0);
    const known = new Map<number, number>();
    parts = known;
    return {
      width,
      id: ++ids,
      partOf(event) {
        const key = keyOf(event);
        let part = known.get(key);
        if (part === undefined) {
          part = loads.indexOf(Math.min(...loads));
          known.set(key, part);
        }
        loads[part] = (loads[part] ?? 0) + 1;
        return part;
      },
    };
  }

  return (width) => {
    if (current?.width !== width || parts.size > KEYS_MAX) current = partition(width);
    return current;
  };
}
