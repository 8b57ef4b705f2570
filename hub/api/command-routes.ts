import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Command, CommandRefusal, CommandRequest } from '../core/command.ts';
import { actorOf } from './instructions.ts';
import { Problem } from './problem.ts';
import { Body, badParameter, Query } from './query.ts';
import type { CommandView } from './view.ts';

/** As names of devices are everywhere else. */
const DEVICE_CHARACTERS_MAX = 256;
/** It is a level of a topic. */
const NAME = /^[A-Za-z0-9_.-]{1,64}$/;
const NAME_EXPECTED = 'letters, digits, `_`, `-` and `.`, at most 64';
const KEY_CHARACTERS_MAX = 128;
/** A command tells what to do; what to do it with comes another way. */
const DATA_BYTES_MAX = 16_384;
/** A device that does not listen now is told in a minute at the latest, or not at all. */
const TTL_MS = { min: 100, max: 86_400_000, fallback: 60_000 };
/** When asking again makes sense, in seconds: hardware is looked for every second or so. */
const RETRY_AFTER_S = 5;

type OfDevice = { Params: { readonly device: string } };
type OfCommand = { Params: { readonly device: string; readonly command: string } };

/** Commands to a device: give one, see what became of it. */
export function addCommandRoutes(server: FastifyInstance, commands: CommandView): void {
  const path = '/api/v1/devices/:device/commands';

  server.post<OfDevice>(path, async (request, reply): Promise<Command> => {
    new Query(request.query, []);
    const { device } = request.params;
    const wanted = requestOf(device, request.body, request.headers['idempotency-key']);
    const answer = await commands.give(wanted, actorOf(request));
    if (answer.kind !== 'command') throw problemOf(device, answer, reply);
    const { command, repeated } = answer;
    const place = `/api/v1/devices/${encodeURIComponent(device)}/commands/${command.id}`;
    reply.code(repeated ? 200 : 202).header('location', place);
    return command;
  });

  server.get<OfDevice>(path, (request) => {
    new Query(request.query, []);
    return commands.list(request.params.device);
  });

  server.get<OfCommand>(`${path}/:command`, (request): Command => {
    new Query(request.query, []);
    const { device, command: id } = request.params;
    const command = commands.get(device, id);
    if (command) return command;
    const [shown, of] = [id.slice(0, 64), device.slice(0, 64)];
    const detail = `There is no command \`${shown}\` of device \`${of}\`; only the last are kept.`;
    throw new Problem(404, detail);
  });
}

function requestOf(device: string, raw: unknown, key: string | string[] | undefined) {
  if (device.length > DEVICE_CHARACTERS_MAX || /[/+#\p{C}]/u.test(device))
    throw badParameter('device', 'is no name of a device', 'a name as /api/v1/devices lists it');
  const body = new Body(raw, ['name', 'data', 'dataBase64', 'ttlMs']);
  const name = body.value('name');
  if (typeof name !== 'string' || !NAME.test(name))
    throw badParameter('name', 'is missing or no name of a command', NAME_EXPECTED);
  const payload = payloadOf(body);
  if (payload.length > DATA_BYTES_MAX)
    throw badParameter('data', 'is too large', `at most ${DATA_BYTES_MAX} bytes`);
  const ttlMs = body.has('ttlMs') ? body.integer('ttlMs', TTL_MS) : TTL_MS.fallback;
  const idempotencyKey = key === undefined ? undefined : keyOf(String(key));
  return { device, name, payload, ttlMs, idempotencyKey } satisfies CommandRequest;
}

/** Text is sent as it is, anything else as JSON. */
function payloadOf(body: Body): Buffer {
  const [data, base64] = [body.value('data'), body.value('dataBase64')];
  if (base64 === undefined) {
    if (data === undefined) return Buffer.alloc(0);
    return Buffer.from(typeof data === 'string' ? data : jsonOf(data));
  }
  if (data !== undefined)
    throw badParameter('dataBase64', 'is given, and `data` too', 'one of them');
  if (typeof base64 !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64))
    throw badParameter('dataBase64', 'is no base64', 'bytes in base64');
  return Buffer.from(base64, 'base64');
}

function jsonOf(data: unknown): string {
  try {
    return JSON.stringify(data);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // of the stack
    throw badParameter('data', 'is nested too deeply', 'some levels of objects and lists');
  }
}

function keyOf(key: string): string {
  if (key.length > 0 && key.length <= KEY_CHARACTERS_MAX && !/\p{C}/u.test(key)) return key;
  throw badParameter('idempotency-key', 'is no key', `1 to ${KEY_CHARACTERS_MAX} characters`);
}

function problemOf(device: string, answer: CommandRefusal, reply: FastifyReply): Problem {
  switch (answer.kind) {
    case 'not_ready':
      reply.header('retry-after', RETRY_AFTER_S);
      return new Problem(503, 'The hub is starting or stopping. Nothing was sent; try again.');
    case 'no_device':
      return new Problem(
        404,
        `There is no device \`${device}\`: no bridge has it, and no reading of it has come. ` +
          '/api/v1/devices lists those with readings.',
      );
    case 'bridge_down':
      reply.header('retry-after', RETRY_AFTER_S);
      return new Problem(
        503,
        `Device \`${device}\` is on bridge \`${answer.bridge}\`, which cannot reach its hardware ` +
          `now (${answer.detail}). Nothing was sent.`,
      );
    case 'too_many':
      reply.header('retry-after', RETRY_AFTER_S);
      return new Problem(
        429,
        `${answer.waiting} commands for device \`${device}\` or what it hangs on wait already. ` +
          'Nothing was sent; try again when they have ended.',
      );
    case 'key_reused':
      return new Problem(
        422,
        `The idempotency key was used for another command (${answer.id}). Take a new one.`,
      );
  }
}
