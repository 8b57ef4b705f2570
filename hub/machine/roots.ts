/** Where a Linux machine shows itself; other folders in tests. */
export interface MachineRoots {
  readonly sys: string;
  readonly proc: string;
  readonly dev: string;
  readonly etc: string;
  readonly run: string;
  /** Of the firmware of a Raspberry Pi: `config.txt` and `cmdline.txt` are in it. */
  readonly boot: string;
  /** The mark of Docker is there. */
  readonly root: string;
}

export const MACHINE: MachineRoots = {
  sys: '/sys',
  proc: '/proc',
  dev: '/dev',
  etc: '/etc',
  run: '/run',
  boot: '/boot/firmware',
  root: '/',
};
