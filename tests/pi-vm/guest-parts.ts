/**
 * What the guest consists of besides the hub: a kernel, its modules and a few programs of Debian.
 * Lies in dist/pi-vm, which git ignores, and is fetched again when the list below changes.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../support/repository.ts';
import { PrivateApt } from './debian-packages.ts';
import { KernelModules } from './kernel-modules.ts';

/** Programs, and the libraries of these and of Node.js. */
const PACKAGES = [
  ...['busybox-static', 'dash', 'gpiod', 'libgpiod3', 'i2c-tools', 'libi2c0'],
  ...['libc6', 'libgcc-s1', 'libstdc++6'],
];

/** With parameters. Each brings what it depends on. */
const MODULES = [
  'gpio-sim',
  // addresses on which the simulated bus has chips: lm75, bme280, one of nobody's driver
  'i2c-stub chip_addr=0x48,0x49,0x76,0x50',
  'i2c-dev',
  'bmp280-i2c',
  'lm75',
  'xhci-pci',
  'ftdi_sio',
];

const FOLDER = join(ROOT, 'dist', 'pi-vm');

export interface GuestParts {
  readonly kernel: string;
  /** Holds `usr` and `etc`. */
  readonly root: string;
  /** Holds `*.ko`, and `load.sh`, which loads them. */
  readonly modules: string;
  /** Milliseconds that fetching took; 0 when it was all there. */
  readonly fetchMs: number;
}

const kernelIn = (folder: string) => join(folder, 'vmlinuz');
const stampIn = (folder: string) => join(folder, 'stamp.json');

export function guestParts(): GuestParts {
  const stamp = JSON.stringify([PACKAGES, MODULES]);
  const startMs = performance.now();
  const isThere = existsSync(stampIn(FOLDER)) && readFileSync(stampIn(FOLDER), 'utf8') === stamp;
  if (!isThere) fetchParts(stamp);
  return {
    kernel: kernelIn(FOLDER),
    root: join(FOLDER, 'root'),
    modules: join(FOLDER, 'modules'),
    fetchMs: isThere ? 0 : performance.now() - startMs,
  };
}

/** The folder is whole or not there, whatever interrupts this. */
function fetchParts(stamp: string): void {
  const made = `${FOLDER}.new`;
  const work = `${FOLDER}.work`;
  for (const folder of [made, work, FOLDER]) rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(made, 'modules'), { recursive: true });
  mkdirSync(work);
  const apt = new PrivateApt(join(work, 'apt'));
  apt.unpack(PACKAGES, join(made, 'root'));
  const kernel = join(work, 'kernel');
  apt.unpack(apt.kernelPackages(), kernel);
  takeModules(kernel, made);
  renameSync(findKernel(kernel), kernelIn(made));
  writeFileSync(stampIn(made), stamp);
  renameSync(made, FOLDER);
  rmSync(work, { recursive: true });
}

function takeModules(kernel: string, made: string): void {
  const to = join(made, 'modules');
  const modules = new KernelModules(kernel, join(made, 'root', 'usr', 'bin', 'busybox'), to);
  const parameters = new Map<string, string>();
  for (const [name = '', ...words] of MODULES.map((line) => line.split(' ')))
    parameters.set(modules.take(name), words.join(' '));
  const lines = modules.order.map((name) =>
    `insmod /modules/${name}.ko ${parameters.get(name) ?? ''}`.trimEnd(),
  );
  writeFileSync(join(to, 'load.sh'), `${lines.join('\n')}\n`);
}

function findKernel(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true });
  const file = files.find(({ name }) => name.startsWith('vmlinuz'));
  if (!file) throw new Error('the packages of the kernel hold no vmlinuz');
  return join(file.parentPath, file.name);
}
