/** Whether the hub can listen where it is told to, and who does already. Binds nothing. */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Finding } from '../core/finding.ts';
import { addressesOf } from '../machine/addresses.ts';
import { canonicalAddress, type TcpSocket, tcpSockets } from '../machine/connections.ts';
import { type ProcessFacts, processFacts, processText, whoHasOpen } from '../machine/processes.ts';
import { readFact, readNumber } from '../machine/read-fact.ts';
import type { MachineRoots } from '../machine/roots.ts';
import { type MachineUser, userName } from '../machine/user.ts';
import type { Examination } from './examination.ts';
import type { RunningHub } from './running-hub.ts';

/** CAP_NET_BIND_SERVICE of capabilities(7). */
const CAPABILITY_BIND = 10n;
const UNPRIVILEGED_FROM = 1_024;
/** Names of this machine itself need no server. */
const NAME_TIMEOUT_MS = 1_000;
const WILDCARDS = ['0.0.0.0', '::'];

/** Where the hub is to listen. `key` is what to change in the configuration: `mqtt.listeners`. */
export interface WantedPort {
  readonly key: string;
  readonly host: string;
  readonly port: number;
}

export interface PortParts {
  readonly roots: MachineRoots;
  readonly user: MachineUser;
  readonly hub: RunningHub;
  /** Of this machine; those of its interfaces. */
  readonly addresses?: () => readonly string[];
}

export function port(wanted: WantedPort, parts: PortParts): Examination {
  const subject = `port ${wanted.port}`;
  return {
    subject,
    async examine(signal) {
      if (wanted.port === 0)
        return [{ severity: 'ok', subject: wanted.key, detail: 'any free port is taken' }];
      const address = await addressOf(wanted.host, signal);
      const elsewhere = address === undefined ? undefined : notHere(address, wanted, parts);
      if (elsewhere) return [elsewhere];
      const sockets = await tcpSockets(parts.roots);
      if (sockets === undefined)
        return [{ severity: 'unknown', subject, detail: 'nothing here tells who listens' }];
      const taken = sockets.filter((socket) => conflicts(socket, address, wanted.port));
      if (taken.length > 0) return [await takenFinding(taken, wanted, parts, signal)];
      if (await isForbidden(wanted.port, parts)) return [forbidden(wanted)];
      const where = `${wanted.host}:${wanted.port}`;
      return [{ severity: 'ok', subject, detail: `${where} is free for ${wanted.key}` }];
    },
  };
}

/** Undefined when the name cannot be resolved: then all that have the port count. */
async function addressOf(host: string, signal: AbortSignal): Promise<string | undefined> {
  const [first] = (await addressesOf(host, NAME_TIMEOUT_MS, signal)) ?? [];
  return first && canonicalAddress(first);
}

function interfaceAddresses(): readonly string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ address }) => address);
}

function notHere(
  address: string,
  { key, host, port: number }: WantedPort,
  { addresses = interfaceAddresses }: PortParts,
): Finding | undefined {
  if (WILDCARDS.includes(address) || address.startsWith('127.') || address === '::1') return;
  const own = addresses();
  if (own.includes(address)) return undefined;
  const detail = `${host} is no address of this machine: ${own.slice(0, 8).join(', ')}`;
  const remedy = `correct \`host\` in ${key}; 0.0.0.0 listens on all`;
  return { severity: 'problem', subject: `port ${number}`, detail, remedy };
}

/** `::` takes the port of IPv4 too, as Node.js and most others open it. */
function conflicts(socket: TcpSocket, address: string | undefined, number: number): boolean {
  if (socket.state !== 'listening' || socket.localPort !== number) return false;
  if (address === undefined || address === '::' || socket.localAddress === '::') return true;
  if (socket.localAddress === address) return true;
  const sameFamily = isIP(socket.localAddress) === isIP(address);
  return sameFamily && [address, socket.localAddress].includes('0.0.0.0');
}

async function takenFinding(
  taken: readonly TcpSocket[],
  { key, port: number }: WantedPort,
  { roots, hub }: PortParts,
  signal: AbortSignal,
): Promise<Finding> {
  const subject = `port ${number}`;
  const running = await hub();
  const links = new Set(taken.map(({ link }) => link));
  const pids = await whoHasOpen((link) => links.has(link), signal, roots);
  const [first] = taken;
  // who cannot see the files of others sees at least whose they are
  const isOurs =
    running && (pids.includes(running.pid) || (!pids[0] && first?.uid === running.uid));
  if (isOurs) {
    const detail = `the running hub listens on it, pid ${running.pid}`;
    return { severity: 'ok', subject, detail };
  }
  const holder = pids[0] === undefined ? undefined : await processFacts(pids[0], roots);
  const user = await userName(first?.uid ?? 0, roots);
  const who = holder ? processText(holder) : `a process of the user ${user}`;
  const detail = `${who} listens on ${first?.localAddress}:${number} already`;
  const remedy = `${freeingText(holder, user, number)}, or set another port in ${key}`;
  return { severity: 'problem', subject, detail, remedy };
}

function freeingText(holder: ProcessFacts | undefined, user: string, number: number): string {
  if (!holder && user !== 'mosquitto')
    return `\`sudo ss -ltnp sport = :${number}\` shows which: stop it`;
  if (!holder || holder.name === 'mosquitto') return 'sudo systemctl disable --now mosquitto';
  return `stop it: \`systemctl status ${holder.pid}\` names its service`;
}

async function isForbidden(number: number, { roots, user }: PortParts): Promise<boolean> {
  if (user.uid === 0) return false;
  const from = await readNumber(roots.proc, 'sys', 'net', 'ipv4', 'ip_unprivileged_port_start');
  if (number >= (from ?? UNPRIVILEGED_FROM)) return false;
  const status = (await readFact(roots.proc, 'self', 'status')) ?? '';
  const capabilities = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  return ((capabilities >> CAPABILITY_BIND) & 1n) === 0n;
}

function forbidden({ key, port: number }: WantedPort): Finding {
  const detail = `only root may listen on ports below ${UNPRIVILEGED_FROM}`;
  const remedy =
    `set a higher port in ${key}, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit of ` +
    `systemd (everywhere: sudo sysctl net.ipv4.ip_unprivileged_port_start=${number})`;
  return { severity: 'problem', subject: `port ${number}`, detail, remedy };
}
