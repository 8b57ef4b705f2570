import { z } from 'zod';
import { DEVICES_MAX, type FromPlugin, PAYLOAD_BYTES_MAX } from './protocol.ts';

const bytes = z.instanceof(Uint8Array).refine(({ length }) => length <= PAYLOAD_BYTES_MAX);
const seq = z.int();
const id = z.string();

const message: z.ZodType<FromPlugin> = z.discriminatedUnion('is', [
  z.object({ is: z.literal('loaded') }),
  z.object({
    is: z.literal('checked'),
    problems: z.array(
      z.object({ path: z.array(z.union([z.string(), z.number()])), message: z.string() }),
    ),
  }),
  z.object({
    is: z.literal('publish'),
    seq,
    topic: z.string(),
    payload: bytes,
    state: z.array(z.tuple([z.string(), z.unknown()])),
  }),
  z.object({ is: z.literal('load'), seq, prefix: z.string() }),
  z.object({ is: z.literal('connected') }),
  z.object({ is: z.literal('describe'), text: z.string().optional() }),
  z.object({ is: z.literal('bad'), reason: z.string(), count: z.number() }),
  z.object({ is: z.literal('commands'), devices: z.array(z.string()).max(DEVICES_MAX) }),
  z.object({ is: z.literal('sent'), id }),
  z.object({ is: z.literal('done'), id, answer: bytes.optional() }),
  z.object({ is: z.literal('refused'), id, detail: z.string() }),
  z.object({
    is: z.literal('log'),
    level: z.enum(['debug', 'info', 'warn', 'error']),
    text: z.string(),
  }),
  z.object({ is: z.literal('pong') }),
  z.object({ is: z.literal('returned') }),
  z.object({
    is: z.literal('failed'),
    lost: z.boolean(),
    message: z.string(),
    stack: z.string(),
  }),
]);

/** Undefined for what is no message of a plugin: it has the channel too, and could write to it. */
export function heard(value: unknown): FromPlugin | undefined {
  return message.safeParse(value).data;
}
