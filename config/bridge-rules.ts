/** What two bridges cannot both have: a port, a GPIO line, and the commands for a device. */
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
    ...claimedTwice(bridges.flatMap(linesOf), 'only one can have it'),
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

/** Names of one line are the same only when both are numbers; the kernel knows the others. */
function linesOf(options: unknown, bridge: number): Claim[] {
  if (dataAt(options, ['type']) !== 'gpio') return [];
  const chip = dataAt(options, ['chip']) ?? 'auto';
  return listOf(options, 'lines').flatMap((entry, i): Claim[] => {
    const line = dataAt(entry, ['line']);
    if (typeof line !== 'string' && typeof line !== 'number') return [];
    const number = /^(?:GPIO|BCM)?(\d+)$/i.exec(String(line))?.[1] ?? line;
    const of = chip === 'auto' ? '' : ` of ${chip}`;
    return [{ bridge, what: `the line ${number}${of}`, path: ['lines', i, 'line'] }];
  });
}

/** Devices whose commands the bridge carries out. */
function devicesOf(options: unknown, bridge: number): Claim[] {
  const claim = (device: unknown, path: Claim['path']): Claim[] =>
    typeof device === 'string' ? [{ bridge, what: `the device \`${device}\``, path }] : [];
  const owned = (list: string, owns: (entry: unknown) => boolean = () => true): Claim[] =>
    listOf(options, list).flatMap((entry, i) =>
      owns(entry) ? claim(dataAt(entry, ['device']), [list, i, 'device']) : [],
    );
  const named = (key: string): Claim[] => {
    const section = dataAt(options, [key]);
    if (typeof section !== 'object' || section === null) return [];
    const devices = dataAt(section, ['devices']);
    if (!Array.isArray(devices)) return claim(dataAt(options, ['id']), [key]);
    return devices.flatMap((device, i) => claim(device, [key, 'devices', i]));
  };
  switch (dataAt(options, ['type'])) {
    case 'serial':
      return named('write');
    case 'exec':
      return named('commands');
    case 'modbus':
      return owned('slaves');
    case 'i2c':
      return owned('devices');
    case 'gpio':
      return owned('lines', (line) => dataAt(line, ['mode']) === 'output');
    default:
      return [];
  }
}

function listOf(data: unknown, key: string): readonly unknown[] {
  const list = dataAt(data, [key]);
  return Array.isArray(list) ? list : [];
}
