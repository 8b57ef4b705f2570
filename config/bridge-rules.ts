/** What two bridges cannot both have: the port that they read, and the commands for a device. */
import { dataAt } from './schema-walk.ts';

/** Something that belongs to one bridge, and where the configuration says so. */
interface Claim {
  readonly bridge: number;
  readonly what: string;
  readonly path: readonly (string | number)[];
}

export interface BridgeViolation {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

export function bridgeViolations(bridges: readonly unknown[]): BridgeViolation[] {
  return [
    ...claimedTwice(bridges.flatMap(portOf), 'only one can open it'),
    ...claimedTwice(bridges.flatMap(devicesOf), 'a command for it has one way to go'),
  ];
}

function claimedTwice(claims: readonly Claim[], why: string): BridgeViolation[] {
  return claims.flatMap((claim) => {
    const first = claims.find(({ what }) => what === claim.what);
    if (!first || first.bridge === claim.bridge) return [];
    const path = ['bridges', claim.bridge, ...claim.path];
    return [{ path, message: `is ${claim.what}, as of bridges[${first.bridge}]; ${why}` }];
  });
}

/** Two names of one port are told apart only when it is opened. */
function portOf(options: unknown, bridge: number): Claim[] {
  const transport = dataAt(options, ['transport']);
  const isLine = dataAt(transport, ['type']) === 'rtu';
  if (!isLine && dataAt(options, ['type']) !== 'serial') return [];
  const path = isLine ? ['transport', 'port'] : ['port'];
  const port = dataAt(options, path);
  if (typeof port === 'string') return [{ bridge, what: `the port ${port}`, path }];
  const usb = dataAt(options, ['usb']);
  if (typeof usb !== 'object' || usb === null) return [];
  const ids = ['vendor_id', 'product_id', 'serial_number'].flatMap((key) => {
    const id = dataAt(usb, [key]);
    return id === undefined ? [] : [`${key} ${id}`];
  });
  return [{ bridge, what: `the port with ${ids.join(', ')}`, path: ['usb'] }];
}

/** Devices whose commands the bridge carries out. */
function devicesOf(options: unknown, bridge: number): Claim[] {
  const claim = (device: unknown, path: Claim['path']): Claim[] =>
    typeof device === 'string' ? [{ bridge, what: `the device \`${device}\``, path }] : [];
  const write = dataAt(options, ['write']);
  if (dataAt(options, ['type']) === 'serial' && typeof write === 'object' && write !== null) {
    const devices = dataAt(write, ['devices']);
    if (!Array.isArray(devices)) return claim(dataAt(options, ['id']), ['write']);
    return devices.flatMap((device, i) => claim(device, ['write', 'devices', i]));
  }
  const list = dataAt(options, ['type']) === 'i2c' ? 'devices' : 'slaves';
  const entries = dataAt(options, [list]);
  if (!Array.isArray(entries)) return [];
  return entries.flatMap((entry, i) => claim(dataAt(entry, ['device']), [list, i, 'device']));
}
