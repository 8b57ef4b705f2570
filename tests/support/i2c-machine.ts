import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Surroundings } from '../../firmware-bridge/i2c/adapter.ts';
import { MACHINE, type MachineRoots } from '../../hub/machine/roots.ts';

/** The adapter of the Pi's header, as sysfs names it. */
export const ADAPTER_NAME = 'bcm2835 (i2c@7e804000)';

/** Every tool is this script: it answers what the file with the name of its words holds. */
const TOOL = `#!/bin/sh
name=\${0##*/}
[ "$*" = -V ] && exit 0
[ "$name" = i2cdetect ] && exec cat "$I2C_ANSWERS/abilities"
shift 2
echo "$name $*" >>"$I2C_ANSWERS/log"
[ -e "$I2C_ANSWERS/stuck" ] && exec sleep 600
answer=$I2C_ANSWERS/$(echo "$*" | tr ' ' '_')
[ -e "$answer" ] && exec cat "$answer"
echo 'Error: Sending messages failed: Remote I/O error' >&2
exit 1
`;
const ABILITIES = 'I2C                              yes\nI2C Block Read                   yes\n';

/**
 * A machine with the bus i2c-7, laid out as the kernel shows it, and a folder for what is on the
 * bus.
 */
export class I2cMachine {
  readonly folder: string;
  readonly roots: MachineRoots;

  private constructor(folder: string) {
    this.folder = folder;
    this.roots = { ...MACHINE, sys: join(folder, 'sys'), dev: join(folder, 'dev') };
  }

  static async start(): Promise<I2cMachine> {
    const machine = new I2cMachine(await mkdtemp(join(tmpdir(), 'holdfast-i2c-')));
    await mkdir(machine.chips);
    await machine.plugIn();
    return machine;
  }

  /** Where what is on the bus is described. */
  get chips(): string {
    return join(this.folder, 'chips');
  }

  async plugIn(): Promise<void> {
    const adapter = join(this.roots.sys, 'bus', 'i2c', 'devices', 'i2c-7');
    await mkdir(adapter, { recursive: true });
    await mkdir(this.roots.dev, { recursive: true });
    await writeFile(join(adapter, 'name'), `${ADAPTER_NAME}\n`);
    await writeFile(join(this.roots.dev, 'i2c-7'), '');
  }

  async pullOut(): Promise<void> {
    await rm(join(this.roots.sys, 'bus', 'i2c', 'devices', 'i2c-7'), { recursive: true });
    await rm(join(this.roots.dev, 'i2c-7'));
  }

  /** A driver of the kernel takes the address. */
  async bind(address: string, driver: string): Promise<void> {
    const client = join(this.roots.sys, 'bus', 'i2c', 'devices', `7-00${address}`);
    await mkdir(client, { recursive: true });
    await symlink(`../../drivers/${driver}`, join(client, 'driver'));
  }

  /** The bus with tools that answer what they were told to. */
  async scripted(): Promise<Surroundings> {
    for (const name of ['i2cdetect', 'i2ctransfer']) await this.script(name, TOOL);
    await this.mark('abilities', ABILITIES);
    const env = { PATH: `${this.#tools}:/usr/bin:/bin`, I2C_ANSWERS: this.chips };
    return { roots: this.roots, env };
  }

  /** In place of a tool; at once, so that none is run that is written in part. */
  async script(name: string, text: string): Promise<void> {
    await mkdir(this.#tools, { recursive: true });
    const path = join(this.#tools, name);
    await writeFile(`${path}.new`, text, { mode: 0o755 });
    await rename(`${path}.new`, path);
  }

  get #tools(): string {
    return join(this.folder, 'tools');
  }

  /** What `words` (as `w1@0x40 0x02 r2`) is answered with; undefined: nobody is there. */
  async answer(words: string, text: string | undefined): Promise<void> {
    const name = words.replaceAll(' ', '_');
    if (text === undefined) await this.unmark(name);
    else await this.mark(name, `${text}\n`);
  }

  async mark(name: string, text = ''): Promise<void> {
    await writeFile(join(this.chips, name), text);
  }

  async unmark(name: string): Promise<void> {
    await rm(join(this.chips, name), { force: true });
  }

  async stop(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
