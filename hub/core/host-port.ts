/** Where a TCP connection goes. */
export interface HostPort {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 };

/** `host:port` of an address, the port always said: what `SinkSpec.host` answers. */
export function hostPortOf(address: string): string {
  const url = new URL(address);
  return `${url.hostname}:${url.port || (DEFAULT_PORTS[url.protocol] ?? '')}`;
}

/** The parts of `host:port` or `[v6]:port`; undefined for anything else. */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([\da-f:.%]+)\]|([^:[\]]+)):(\d{1,5})$/i.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host !== undefined && port >= 1 && port <= 65_535 ? { host, port } : undefined;
}
