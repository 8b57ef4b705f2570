import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Where Linux shows its devices; another folder in tests. */
export interface SystemFolders {
  readonly sys: string;
  readonly dev: string;
}

export const SYSTEM_FOLDERS: SystemFolders = { sys: '/sys', dev: '/dev' };

/** From an interface to its device are one or two folders; further up are hubs. */
const FOLDERS_UP_MAX = 4;
/** As many as a person reads in one line of the log. */
const LISTED_MAX = 8;

/** Which USB device: its ids are four hexadecimal digits each. */
interface UsbChoice {
  readonly vendor_id: string;
  readonly product_id?: string | undefined;
  readonly serial_number?: string | undefined;
}

/** By its path, or by the USB device that it belongs to. */
export interface PortChoice {
  readonly port?: string | undefined;
  readonly usb?: UsbChoice | undefined;
}

/** A serial port that belongs to a USB device. */
interface UsbPort {
  readonly path: string;
  readonly vendorId: string;
  readonly productId: string;
  readonly serialNumber: string;
}

/** `found`: a path that is there. Else why not, to be read after the name of the bridge. */
export type Found =
  | { readonly kind: 'found'; readonly path: string }
  | { readonly kind: 'absent'; readonly problem: string; readonly remedy: string };

/**
 * Where the port is now. Cheap enough for once a second: it looks at sysfs itself, where
 * `SerialPort.list()` starts `udevadm` each time.
 */
export async function findPort(
  { port, usb }: PortChoice,
  folders: SystemFolders = SYSTEM_FOLDERS,
): Promise<Found> {
  if (usb) return await findUsb(usb, folders);
  const path = port ?? '';
  if (await exists(path)) return { kind: 'found', path };
  const others = await portsThere(folders);
  const problem = `there is no port ${path}: is it plugged in? ${others}`;
  return { kind: 'absent', problem, remedy: 'plug it in, or correct the path' };
}

async function findUsb(usb: UsbChoice, folders: SystemFolders): Promise<Found> {
  const all = await usbPorts(folders);
  const matching = all.filter(
    ({ vendorId, productId, serialNumber }) =>
      vendorId === usb.vendor_id &&
      (usb.product_id === undefined || productId === usb.product_id) &&
      (usb.serial_number === undefined || serialNumber === usb.serial_number),
  );
  const [first, second] = matching;
  const wanted = [
    `${usb.vendor_id}:${usb.product_id ?? '*'}`,
    ...(usb.serial_number === undefined ? [] : [`serial number ${usb.serial_number}`]),
  ].join(', ');
  if (!first) {
    const there = all.slice(0, LISTED_MAX).map(describe).join('; ') || 'none';
    const remedy = 'plug it in, or correct `usb`: `lsusb` shows vendor and product of all';
    const problem = `no USB port ${wanted} is plugged in. There are: ${there}`;
    return { kind: 'absent', problem, remedy };
  }
  if (second && usb.serial_number === undefined) {
    const several = matching.slice(0, LISTED_MAX).map(describe).join('; ');
    const problem = `several USB ports are ${wanted}. ${several}`;
    return { kind: 'absent', problem, remedy: 'set `usb.serial_number`, or `port`' };
  }
  return { kind: 'found', path: first.path };
}

function describe({ path, vendorId, productId, serialNumber }: UsbPort): string {
  return `${path} is ${vendorId}:${productId}${serialNumber && `, serial number ${serialNumber}`}`;
}

/** Ports of USB devices, by name: a device with several has its first one first. */
async function usbPorts({ sys, dev }: SystemFolders): Promise<UsbPort[]> {
  const folder = join(sys, 'class', 'tty');
  const names = await readdir(folder).catch(() => []);
  const ports: UsbPort[] = [];
  for (const name of names.filter((candidate) => /^tty(USB|ACM)/.test(candidate)).sort(byNumber)) {
    const device = await realpath(join(folder, name, 'device')).catch(() => undefined);
    const usb = device && (await usbDevice(device));
    if (usb) ports.push({ path: join(dev, name), ...usb });
  }
  return ports;
}

async function usbDevice(interfaceFolder: string): Promise<Omit<UsbPort, 'path'> | undefined> {
  let folder = interfaceFolder;
  for (let up = 0; up < FOLDERS_UP_MAX; up++, folder = dirname(folder)) {
    const vendorId = await fact(folder, 'idVendor');
    if (vendorId === '') continue;
    const productId = await fact(folder, 'idProduct');
    return { vendorId, productId, serialNumber: await fact(folder, 'serial') };
  }
  return undefined;
}

async function fact(folder: string, name: string): Promise<string> {
  return (await readFile(join(folder, name), 'utf8').catch(() => '')).trim();
}

const byNumber = (a: string, b: string) => a.localeCompare(b, 'en', { numeric: true });

/** A hint for who has to correct the configuration. */
async function portsThere({ dev }: SystemFolders): Promise<string> {
  const byId = join(dev, 'serial', 'by-id');
  const names = (await readdir(byId).catch(() => [])).map((name) => join(byId, name));
  if (names.length === 0) return `(${byId} is empty: no USB port is plugged in)`;
  return `There are: ${names.slice(0, LISTED_MAX).join(', ')}`;
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
