/**
 * Rules that concern more than one key. They read the data as it was written, not as it was
 * validated: a mistake somewhere else must not keep these from being reported with it.
 */
import { BlockList, isIP } from 'node:net';
import { bridgeViolations } from './bridge-rules.ts';
import { budgetViolations } from './budget-rules.ts';
import { HTTP_PORT } from './schema.ts';
import { dataAt } from './schema-walk.ts';
import { retry } from './sections/endpoints.ts';
import { LOOPBACK, MQTT_PORT } from './sections/mqtt.ts';

export interface Violation {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly hint?: string;
}

const LOOPBACK_ADDRESSES = new BlockList();
LOOPBACK_ADDRESSES.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK_ADDRESSES.addAddress('::1', 'ipv6');

/** Whether only this machine can reach a listener on `host`. */
export function isLoopback(host: string): boolean {
  const version = isIP(host);
  if (version === 0) return host.toLowerCase() === 'localhost';
  return LOOPBACK_ADDRESSES.check(host, version === 6 ? 'ipv6' : 'ipv4');
}

/** Every rule that `data` breaks. */
export function violations(data: unknown): Violation[] {
  return [
    ...uniqueIds(data, 'sinks'),
    ...uniqueIds(data, 'bridges'),
    ...uniqueIds(data, 'object_storage'),
    ...bridgeViolations(listAt(data, 'bridges')),
    ...claimChecks(data),
    ...formerNames(data),
    ...anonymousAccess(data),
    ...tokenOffLoopback(data),
    ...distinctPorts(data),
    ...intervalBelongsToInterval(data),
    ...retryDelays(data),
    ...budgetViolations(listAt(data, 'sinks')),
    ...reachableDecodeRules(data),
  ];
}

function listAt(data: unknown, ...path: (string | number)[]): readonly unknown[] {
  const value = dataAt(data, path);
  return Array.isArray(value) ? value : [];
}

/** The text at `path`, or `missing` when nothing is there; undefined when something else is. */
function textAt(data: unknown, path: (string | number)[], missing?: string): string | undefined {
  const value = dataAt(data, path) ?? missing;
  return typeof value === 'string' ? value : undefined;
}

function* repeated(
  values: readonly (string | undefined)[],
): Generator<{ readonly index: number; readonly first: number }> {
  for (const [index, value] of values.entries()) {
    const first = values.indexOf(value);
    if (value !== undefined && first < index) yield { index, first };
  }
}

function uniqueIds(data: unknown, section: 'sinks' | 'bridges' | 'object_storage'): Violation[] {
  const ids = listAt(data, section).map((item) => textAt(item, ['id']));
  return [...repeated(ids)].map(({ index, first }) => ({
    path: [section, index, 'id'],
    message: `is the id of ${section}[${first}] too; an id names one`,
  }));
}

function claimChecks(data: unknown): Violation[] {
  const stores = listAt(data, 'object_storage').map((store) => textAt(store, ['id']));
  return listAt(data, 'sinks').flatMap((sink, i): Violation[] => {
    const claimCheck = dataAt(sink, ['claim_check']);
    if (claimCheck === undefined || claimCheck === false) return [];
    const path = ['sinks', i, 'claim_check'];
    if (dataAt(sink, ['event_bytes_max']) === undefined) {
      const message = 'has no meaning without `event_bytes_max`, which says what is too large';
      return [{ path, message }];
    }
    if (claimCheck === true && stores.length === 0)
      return [{ path, message: 'is true, and there is no `object_storage`' }];
    if (typeof claimCheck !== 'string' || stores.includes(claimCheck)) return [];
    const known = stores.flatMap((id) => (id === undefined ? [] : [`\`${id}\``]));
    const message = `is the id of no object storage: ${claimCheck}`;
    return [{ path, message, ...(known.length > 0 && { hint: known.join(', ') }) }];
  });
}

/** Two sinks cannot both go on from one place. */
function formerNames(data: unknown): Violation[] {
  const sinks = listAt(data, 'sinks');
  const ids = sinks.map((sink) => textAt(sink, ['id']));
  const former = sinks.map((sink) => textAt(sink, ['formerly']));
  return former.flatMap((formerly, i): Violation[] => {
    const path = ['sinks', i, 'formerly'];
    if (formerly === undefined) return [];
    const owner = ids.indexOf(formerly);
    if (owner === i) return [{ path, message: 'is the id that the sink has now' }];
    if (owner >= 0) {
      const message = `is the id of sinks[${owner}], which has its place itself`;
      return [{ path, message }];
    }
    const first = former.indexOf(formerly);
    return first < i ? [{ path, message: `is what sinks[${first}] was formerly too` }] : [];
  });
}

function anonymousAccess(data: unknown): Violation[] {
  const listeners = listAt(data, 'mqtt', 'listeners');
  const anonymous = dataAt(data, ['mqtt', 'anonymous']) ?? false;
  if (listeners.length === 0) return [];
  if (anonymous === false)
    return [
      {
        path: ['mqtt', 'anonymous'],
        message: 'is false, so the listeners would admit nobody: this release has no accounts yet',
        hint: 'write `anonymous: true`',
      },
    ];
  if (anonymous !== true || dataAt(data, ['mqtt', 'allow_insecure']) === true) return [];
  return listeners.flatMap((listener, i) => {
    const host = textAt(listener, ['host'], LOOPBACK);
    if (host === undefined || isLoopback(host)) return [];
    return {
      path: ['mqtt', 'listeners', i, 'host'],
      message:
        'other machines can reach this listener, and with `anonymous: true` anybody there can ' +
        'read and publish everything',
      hint: `\`${LOOPBACK}\`, or \`mqtt.allow_insecure: true\` on a network you trust`,
    };
  });
}

function tokenOffLoopback(data: unknown): Violation[] {
  const host = textAt(data, ['http', 'host'], LOOPBACK);
  if (host === undefined || isLoopback(host) || dataAt(data, ['http', 'token']) !== undefined)
    return [];
  return [
    {
      path: ['http', 'token'],
      message: 'is required, because `http.host` lets other machines reach the console and the API',
      hint: `\`token: \${HOLDFAST_TOKEN}\`, or \`host: ${LOOPBACK}\``,
    },
  ];
}

interface Listening {
  readonly path: readonly (string | number)[];
  readonly host: string | undefined;
  readonly port: unknown;
}

function distinctPorts(data: unknown): Violation[] {
  const all: Listening[] = listAt(data, 'mqtt', 'listeners').map((listener, i) => ({
    path: ['mqtt', 'listeners', i, 'port'],
    host: textAt(listener, ['host'], LOOPBACK),
    port: dataAt(listener, ['port']) ?? MQTT_PORT,
  }));
  all.push({
    path: ['http', 'port'],
    host: textAt(data, ['http', 'host'], LOOPBACK),
    port: dataAt(data, ['http', 'port']) ?? HTTP_PORT,
  });
  return all.flatMap((listening, i) => {
    const other = all.slice(0, i).find((before) => collide(before, listening));
    if (!other) return [];
    const [section, , index] = other.path;
    const name = section === 'http' ? 'http' : `mqtt.listeners[${index}]`;
    return {
      path: listening.path,
      message: `port ${String(listening.port)} is used by ${name} too`,
    };
  });
}

const EVERY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

function collide(a: Listening, b: Listening): boolean {
  if (a.port !== b.port || a.port === 0 || a.host === undefined || b.host === undefined)
    return false;
  return a.host === b.host || EVERY_ADDRESS.has(a.host) || EVERY_ADDRESS.has(b.host);
}

function intervalBelongsToInterval(data: unknown): Violation[] {
  const durability = dataAt(data, ['log', 'commit', 'durability']) ?? 'fsync';
  if (durability !== 'fsync' || dataAt(data, ['log', 'commit', 'interval_ms']) === undefined)
    return [];
  return [
    {
      path: ['log', 'commit', 'interval_ms'],
      message:
        'has no meaning with `durability: fsync`, where nothing is acknowledged before a sync',
      hint: 'leave it out, or write `durability: interval`',
    },
  ];
}

function retryDelays(data: unknown): Violation[] {
  return listAt(data, 'sinks').flatMap((sink, i) => {
    const shortest = retry.shape.delay_min.safeParse(dataAt(sink, ['retry', 'delay_min']));
    const longest = retry.shape.delay_max.safeParse(dataAt(sink, ['retry', 'delay_max']));
    if (!shortest.success || !longest.success || shortest.data <= longest.data) return [];
    const path = ['sinks', i, 'retry'];
    const isMin = dataAt(sink, ['retry', 'delay_min']) !== undefined;
    return {
      path: [...path, isMin ? 'delay_min' : 'delay_max'],
      message: 'delay_min is longer than delay_max',
    };
  });
}

function reachableDecodeRules(data: unknown): Violation[] {
  // What a capture is called does not change which topics match.
  const topics = listAt(data, 'decode').map((rule) =>
    textAt(rule, ['topic'])?.replaceAll(/\{[^{}/]*\}/g, '+'),
  );
  return [...repeated(topics)].map(({ index, first }) => ({
    path: ['decode', index, 'topic'],
    message: `decode[${first}] matches the same topics and comes first, so this rule is never used`,
  }));
}
