import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

/** The host of a Host header without its port and the brackets of IPv6; '' when it is none. */
function hostName(header: string): string {
  if (header.startsWith('[')) return /^\[([0-9a-fA-F:.]+)\](?::\d{1,5})?$/.exec(header)?.[1] ?? '';
  return /^([^:/@\s]+)(?::\d{1,5})?$/.exec(header)?.[1]?.toLowerCase().replace(/\.$/, '') ?? '';
}

/**
 * Against DNS rebinding: a page of a stranger can point its own name at 127.0.0.1, and its requests
 * then carry that name. Answered are the names of this machine, and any address, which no page can
 * own.
 */
export function hostGuard(names: readonly string[]): (header: string | undefined) => boolean {
  const allowed = new Set(['localhost']);
  for (const name of names) {
    allowed.add(name.toLowerCase());
    allowed.add(`${name.toLowerCase()}.local`); // the name that avahi gives a Pi
  }
  return (header) => {
    if (header === undefined) return true; // HTTP/1.0: no browser
    const name = hostName(header);
    return allowed.has(name) || isIP(name) !== 0 || name.endsWith('.localhost');
  };
}

/**
 * Whether a browser sends this for a page of another origin. Without a token, a page of a stranger
 * could have this hub do something: it cannot read the answer, but it need not. Programs that are
 * no browsers send neither header.
 */
export function fromElsewhere(headers: IncomingHttpHeaders): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const { origin, host } = headers;
  if (origin === undefined) return false;
  return URL.canParse(origin) ? new URL(origin).host !== host?.toLowerCase() : true;
}

/** Digests have one length and say nothing of the token's, as timingSafeEqual needs it. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/**
 * Whether an Authorization header carries `token`, in a time that does not depend on how nearly.
 */
export function tokenGuard(token: string): (header: string | undefined) => boolean {
  const expected = digest(token);
  return (header) => {
    const given = /^Bearer +(\S+) *$/i.exec(header ?? '')?.[1];
    return timingSafeEqual(digest(given ?? ''), expected) && given !== undefined;
  };
}
