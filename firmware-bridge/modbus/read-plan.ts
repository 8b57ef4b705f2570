/**
 * Merges registers into reads. Invariants:
 * - every entry is in exactly one read, whole;
 * - no read is longer than `most` addresses (the limits of the standard and of the slave);
 * - no read touches an address of a hole;
 * - no more than `gapMax` addresses in a row are read that nobody wants.
 */
import type { Kind, SlaveFields } from './fields.ts';
import { holdsBits, type RegisterEntry } from './register-map.ts';

/** One request: `length` addresses of one kind from `address`. */
export interface Read {
  readonly kind: Kind;
  readonly address: number;
  readonly length: number;
  readonly entries: readonly RegisterEntry[];
}

export interface ReadLimits {
  readonly gapMax: number;
  readonly registersMax: number;
  readonly coilsMax: number;
  readonly holes: readonly { readonly kind: Kind; readonly from: number; readonly to: number }[];
}

export function limitsOf({ reads, holes }: SlaveFields): ReadLimits {
  const { gap_max: gapMax, registers_max: registersMax, coils_max: coilsMax } = reads;
  return { gapMax, registersMax, coilsMax, holes };
}

/** As few reads as the limits allow, in ascending addresses kind by kind. */
export function planReads(entries: readonly RegisterEntry[], limits: ReadLimits): Read[] {
  const kinds = [...new Set(entries.map(({ kind }) => kind))];
  return kinds.flatMap((kind) => {
    const ofKind = entries.filter((entry) => entry.kind === kind);
    return planKind(
      kind,
      ofKind.toSorted((a, b) => a.address - b.address),
      limits,
    );
  });
}

function planKind(kind: Kind, sorted: readonly RegisterEntry[], limits: ReadLimits): Read[] {
  const most = holdsBits(kind) ? limits.coilsMax : limits.registersMax;
  const holes = limits.holes.filter((hole) => hole.kind === kind);
  const reads: Read[] = [];
  for (const entry of sorted) {
    const last = reads.at(-1);
    const end = entry.address + entry.length;
    const lastEnd = last ? last.address + last.length : 0;
    const joins =
      last !== undefined &&
      entry.address - lastEnd <= limits.gapMax &&
      Math.max(end, lastEnd) - last.address <= most &&
      !holes.some(({ from, to }) => from < entry.address && to >= lastEnd);
    if (joins) {
      const length = Math.max(end, lastEnd) - last.address;
      reads[reads.length - 1] = { ...last, length, entries: [...last.entries, entry] };
    } else {
      reads.push({ kind, address: entry.address, length: entry.length, entries: [entry] });
    }
  }
  return reads;
}

/**
 * What to ask instead of a read that the slave refuses although it may know each register: first
 * without the addresses that nobody wants, then entry by entry. Undefined when there is nothing
 * smaller.
 */
export function splitRead(read: Read, limits: ReadLimits): Read[] | undefined {
  if (read.entries.length < 2) return undefined;
  const gapless = planReads(read.entries, { ...limits, gapMax: 0 });
  if (gapless.length > 1) return gapless;
  const places = new Map<string, RegisterEntry[]>();
  for (const entry of read.entries) {
    const place = `${entry.address} ${entry.length}`;
    places.set(place, [...(places.get(place) ?? []), entry]);
  }
  if (places.size < 2) return undefined;
  return [...places.values()].flatMap((same) => planReads(same, limits));
}
