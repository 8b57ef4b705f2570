import { setFlagsFromString } from 'node:v8';

/**
 * Lets the heap grow by a fifth before it is cleaned, where V8 would let it double: draining a
 * backlog makes much short-lived garbage, and a Pi has better use for 100 MB than keeping it. Costs
 * about 5 % of the drain rate. V8 reads the flag at each collection, so it may be set this late.
 */
const HEAP_GROWING_PERCENT = 20;

export function keepHeapSmall(): void {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
}
