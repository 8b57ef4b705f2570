import assert from 'node:assert/strict';
import type { Command } from '../../hub/core/command.ts';
import { eventually, type HubProcess } from './hub-process.ts';

/** What the API answered to a command. */
export interface GivenCommand {
  readonly status: number;
  readonly retryAfter: string | null;
  /** The command, or the problem. */
  readonly body: Command & { readonly detail?: string };
}

const pathOf = (device: string) => `/api/v1/devices/${device}/commands`;

/** POST of a command, as a user does it. */
export async function giveCommand(
  hub: HubProcess,
  device: string,
  body: object,
  idempotencyKey?: string,
): Promise<GivenCommand> {
  const key = idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey };
  const answer = await fetch(`${hub.url}${pathOf(device)}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...key },
    body: JSON.stringify(body),
  });
  const retryAfter = answer.headers.get('retry-after');
  return { status: answer.status, retryAfter, body: JSON.parse(await answer.text()) };
}

export async function commandNow(hub: HubProcess, device: string, id: string): Promise<Command> {
  const command: Command = JSON.parse(await (await hub.get(`${pathOf(device)}/${id}`)).text());
  return command;
}

export async function endedCommand(hub: HubProcess, device: string, id: string): Promise<Command> {
  let last = await commandNow(hub, device, id);
  await eventually('the command has ended', async () => {
    last = await commandNow(hub, device, id);
    return last.endedMs !== null;
  });
  return last;
}

/** A command that is taken, when it has ended. */
export async function carriedOut(
  hub: HubProcess,
  device: string,
  body: object,
  idempotencyKey?: string,
): Promise<Command> {
  const given = await giveCommand(hub, device, body, idempotencyKey);
  assert.equal(given.status, 202, JSON.stringify(given.body));
  return await endedCommand(hub, device, given.body.id);
}

/** States of all commands that the log tells of, by `name state`. */
export async function commandFacts(hub: HubProcess): Promise<string[]> {
  const answer = await hub.get('/api/v1/events?topic=holdfast/command&limit=1000');
  const events: { data: { name: string; state: string } }[] = JSON.parse(await answer.text());
  return events.map(({ data }) => `${data.name} ${data.state}`);
}

export async function bridgeStatus(hub: HubProcess, id: string) {
  const bridge = (await hub.status()).inputs.bridges.find((one) => one.id === id);
  assert.ok(bridge, `no bridge ${id}`);
  return bridge;
}
