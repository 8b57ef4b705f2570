/**
 * Damerau-Levenshtein distance (optimal string alignment): the number of letters to insert, delete,
 * replace or swap with their neighbour to make `b` of `a`.
 */
export function nameDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let distance = Math.min(
        (previous[j] ?? 0) + 1,
        (current[j - 1] ?? 0) + 1,
        (previous[j - 1] ?? 0) + cost,
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        distance = Math.min(distance, (beforePrevious[j - 2] ?? 0) + 1);
      current.push(distance);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}

/** Longer names are no slips of the finger, and the distance costs the product of both lengths. */
const NAME_CHARACTERS_MAX = 64;

/** Case and the choice between `-`, `_` and nothing are not what makes two names differ. */
const plain = (name: string): string => name.toLowerCase().replaceAll(/[-_ ]/g, '');

/** The candidate that `name` was probably meant to be, or undefined when none is near. */
export function nearestName(name: string, candidates: readonly string[]): string | undefined {
  if (name.length > NAME_CHARACTERS_MAX) return undefined;
  let nearest: string | undefined;
  // A third of the letters may be wrong, and always one: `prot` is `port`, `x` is not `id`.
  let distanceMax = Math.max(1, Math.floor(name.length / 3));
  if (name.length < 2) distanceMax = 0;
  let best = distanceMax + 1;
  for (const candidate of candidates) {
    const distance = nameDistance(plain(name), plain(candidate));
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest ?? containedName(plain(name), candidates);
}

/**
 * `max_bytes` for `bytes_max`, `size_bytes_max` for `bytes_max`: the same words, moved or added.
 */
function containedName(name: string, candidates: readonly string[]): string | undefined {
  return candidates.find((candidate) => {
    const words = candidate.split('_');
    return words.length > 1 && words.every((word) => name.includes(word));
  });
}
