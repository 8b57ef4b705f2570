/** TCP sockets of this machine, as /proc/net/tcp and tcp6 show them to everybody. */
import { isIPv6 } from 'node:net';
import type { HostPort } from '../core/host-port.ts';
import { readFact } from './read-fact.ts';
import { MACHINE, type MachineRoots } from './roots.ts';

/** States as in the kernel's net/tcp_states.h. */
const ESTABLISHED = '01';
const LISTEN = '0A';

export interface TcpSocket {
  readonly state: 'established' | 'listening';
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly uid: number;
  /** What the descriptor of its process links to: `socket:[12]`. */
  readonly link: string;
}

/** Undefined where the kernel does not show them. */
export async function tcpSockets({
  proc,
}: MachineRoots = MACHINE): Promise<readonly TcpSocket[] | undefined> {
  const v4 = await readFact(proc, 'net', 'tcp');
  const v6 = await readFact(proc, 'net', 'tcp6');
  if (v4 === undefined && v6 === undefined) return undefined;
  return `${v4 ?? ''}\n${v6 ?? ''}`.split('\n').flatMap((line) => socketOf(line) ?? []);
}

/** An address as `TcpSocket` has it; a name as it is. */
export function canonicalAddress(address: string): string {
  return isIPv6(address) ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address;
}

/** Whether somebody here has a connection to that address; a name is never connected to. */
export async function isConnected(
  { host, port }: HostPort,
  roots: MachineRoots = MACHINE,
): Promise<boolean> {
  const sockets = (await tcpSockets(roots)) ?? [];
  return sockets.some(
    ({ state, remoteAddress, remotePort }) =>
      state === 'established' && remotePort === port && remoteAddress === canonicalAddress(host),
  );
}

/** `  0: 0100007F:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000  105  0 12345 …` */
function socketOf(line: string): TcpSocket | undefined {
  const fields = line.trim().split(/\s+/);
  const [, local = '', remote = '', state = ''] = fields;
  if (state !== LISTEN && state !== ESTABLISHED) return undefined;
  const [localAddress, localPort] = endOf(local);
  const [remoteAddress, remotePort] = endOf(remote);
  return {
    state: state === LISTEN ? 'listening' : 'established',
    localAddress,
    localPort,
    remoteAddress,
    remotePort,
    uid: Number(fields[7]),
    link: `socket:[${fields[9] ?? ''}]`,
  };
}

/** Addresses are 32-bit words in the order of the machine, which is little on all we run on. */
function endOf(text: string): readonly [string, number] {
  const [address = '', port = ''] = text.split(':');
  const words = address.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) => [...Buffer.from(word, 'hex').reverse()]);
  return [addressText(bytes), Number.parseInt(port, 16)];
}

/** An IPv4 address, also one in IPv6, in its own form; IPv6 in the shortest. */
function addressText(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join('.');
  const isMapped = bytes.slice(0, 12).every((byte, index) => byte === (index < 10 ? 0 : 0xff));
  if (isMapped) return bytes.slice(12).join('.');
  const groups: string[] = [];
  for (let at = 0; at < bytes.length; at += 2)
    groups.push((((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)).toString(16));
  return canonicalAddress(groups.join(':'));
}
