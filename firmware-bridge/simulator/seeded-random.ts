/**
 * Odd constant of the Weyl sequence: 2^32 divided by the golden ratio, so that it visits every
 * value.
 */
const WEYL_STEP = 0x9e3779b9;

/**
 * Numbers in [0, 1) that are the same for the same seed: a Weyl sequence, mixed as in MurmurHash3.
 */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + WEYL_STEP) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}
