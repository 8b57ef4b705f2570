import { LANES, type Lane } from '../../hub/core/event.ts';

/** Offsets and numbers that were acknowledged together; both count on from the first. */
export interface Ack {
  readonly lane: Lane;
  readonly offset: number;
  readonly number: number;
  readonly count: number;
  readonly stamp: number;
}

const ACK = /^ACK (?<lane>\w+) (?<offset>\d+) (?<number>\d+) (?<count>\d+) (?<stamp>\d+)$/;
const SETTLE = /^SETTLE (?<lane>\w+) (?<offset>\d+)$/;

function laneNamed(name: string | undefined): Lane | undefined {
  return LANES.find((lane) => lane === name);
}

/** What writers have said so far, over all runs on one disk. See writer.ts for the words. */
export class WriterOutput {
  readonly acks: Ack[] = [];
  /** Where a cursor may be: everywhere it was ever moved to. */
  readonly settled = new Map<Lane, Set<number>>(LANES.map((lane) => [lane, new Set([0])]));
  readonly wrong: string[] = [];
  opening = 0;
  opened = 0;
  #rest = '';

  /** Takes the next part of a stream. Lines of others, such as a kernel's, are passed over. */
  take(text: string): void {
    const lines = (this.#rest + text).split(/\r?\n/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#takeLine(line);
  }

  /** A new stream begins: half a line of the last one says nothing. */
  cut(): void {
    this.#rest = '';
  }

  get events(): number {
    return this.acks.reduce((sum, { count }) => sum + count, 0);
  }

  #takeLine(line: string): void {
    if (line === 'OPENING') this.opening += 1;
    else if (line === 'OPENED') this.opened += 1;
    else if (line.startsWith('WRONG ')) this.wrong.push(line);
    const { lane: laneName, offset, number, count, stamp } = ACK.exec(line)?.groups ?? {};
    const lane = laneNamed(laneName);
    if (lane) {
      const [at, first] = [Number(offset), Number(number)];
      this.acks.push({
        lane,
        offset: at,
        number: first,
        count: Number(count),
        stamp: Number(stamp),
      });
      return;
    }
    const { lane: settledName, offset: to } = SETTLE.exec(line)?.groups ?? {};
    const settled = laneNamed(settledName);
    if (settled) this.settled.get(settled)?.add(Number(to));
  }
}
