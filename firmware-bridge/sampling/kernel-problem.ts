/** What an error of the kernel means for a sensor, as people can act on it. */
const MEANINGS: Readonly<Record<string, string>> = {
  ENOENT: 'it is gone: is it plugged in?',
  ENODEV: 'it is gone: is it plugged in?',
  EACCES: 'this user may not: see the permissions of the file',
  EPERM: 'this user may not: see the permissions of the file',
  EIO: 'the bus gave no valid answer: check wires, pull-up and supply',
  EREMOTEIO: 'the chip does not answer at its address: check wires, address and supply',
  ENXIO: 'the chip does not answer at its address: check wires, address and supply',
  ETIMEDOUT: 'the bus hangs, or the chip did not answer in time: check wires and supply',
  EAGAIN: 'the chip is busy',
  EBUSY: 'another program uses it',
  ENODATA: 'the chip has no value: it is switched off, or out of its range',
};
/** Of errors for which libuv has no name. */
const NAMES_BY_NUMBER: Readonly<Record<number, string>> = { [-121]: 'EREMOTEIO', [-61]: 'ENODATA' };

/** The name of an error of the system, such as `EIO`; undefined: it is another error. */
export function systemErrorName(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string')
    return undefined;
  const number = 'errno' in error && typeof error.errno === 'number' ? error.errno : 0;
  return NAMES_BY_NUMBER[number] ?? error.code;
}

/** `<path>: EIO: what it means`; undefined: it is no error of the system. */
export function kernelProblem(error: unknown, path: string): string | undefined {
  const name = systemErrorName(error);
  if (name === undefined) return undefined;
  const meaning = MEANINGS[name];
  return `${path}: ${name}${meaning === undefined ? '' : `: ${meaning}`}`;
}
