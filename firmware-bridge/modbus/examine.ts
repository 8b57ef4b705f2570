import type { Finding } from '../../hub/core/finding.ts';
import { addressesOf } from '../../hub/machine/addresses.ts';
import { isConnected } from '../../hub/machine/connections.ts';
import { MACHINE, type MachineRoots } from '../../hub/machine/roots.ts';
import { serialPortFindings } from '../../hub/machine/serial-port.ts';
import { tryConnectAny } from '../../hub/machine/try-connect.ts';
import type { TransportFields } from './fields.ts';
import { lineName } from './line.ts';

/** In a local network a device answers in milliseconds; `holdfast doctor` gives up after 3 s. */
const CONNECT_TIMEOUT_MS = 1_500;
const NAME_TIMEOUT_MS = 1_000;

/** What `holdfast doctor` says of the line to the slaves. Asks no slave anything. */
export async function examineLine(
  transport: TransportFields,
  signal: AbortSignal,
  roots: MachineRoots = MACHINE,
): Promise<readonly Finding[]> {
  const subject = lineName(transport);
  if (transport.type === 'rtu')
    return await serialPortFindings(transport.port, subject, signal, roots);
  const { host, port } = transport;
  const addresses = (await addressesOf(host, NAME_TIMEOUT_MS, signal)) ?? [];
  if (addresses.length === 0) {
    const detail = `the name ${host} has no address`;
    const remedy = 'correct `transport.host`, or set the address in place of the name';
    return [{ severity: 'problem', subject, detail, remedy }];
  }
  // many devices have one connection: a second one would end that of the running hub
  for (const address of addresses) {
    if (await isConnected({ host: address, port }, roots))
      return [{ severity: 'ok', subject, detail: `${subject} is connected already` }];
  }
  const why = await tryConnectAny(addresses, port, CONNECT_TIMEOUT_MS, signal);
  if (why === undefined)
    return [{ severity: 'ok', subject, detail: `${subject} takes connections` }];
  const detail = `${subject} cannot be connected: ${why}`;
  const remedy = 'check that the device is on, the address, and that Modbus TCP is enabled on it';
  return [{ severity: 'problem', subject, detail, remedy }];
}
