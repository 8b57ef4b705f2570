/** What the exceptions of Modbus say, in words that help (application protocol 1.1b3, 7). */
const EXCEPTIONS: ReadonlyMap<number, string> = new Map([
  [1, 'it does not know this function: check `kind`, or `write_with`'],
  [2, 'it has no such address: check `address` (from 0) and `kind`, or declare `holes`'],
  [3, 'it refuses the value or the number of registers: check `type`, or lower `reads`'],
  [4, 'it failed while it did it'],
  [5, 'it has begun and is not ready yet'],
  [6, 'it is busy with something else'],
  [8, 'its memory has a parity error'],
  [10, 'the gateway has no path to it: check the routing of the gateway'],
  [11, 'the gateway got no answer from it: check its power, wiring and unit id'],
]);

export function exceptionText(code: number): string {
  return `exception ${code}: ${EXCEPTIONS.get(code) ?? 'one of its maker; see its manual'}`;
}

/** The gateway speaks, and the slave behind it does not. */
export const isGatewaySilence = (code: number): boolean => code === 10 || code === 11;
