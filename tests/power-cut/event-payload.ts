import { createHash } from 'node:crypto';
import type { Lane, Message } from '../../hub/core/event.ts';
import { seededRandom } from '../support/seeded-random.ts';

const BYTES_MIN = 20;
const BYTES_MAX = 4_000;

/**
 * Event `number` of a lane. Every byte follows from the two, so that whoever reads it can tell a
 * wrong one. Half of them are noise, so that neither deflate nor LevelDB makes them small.
 */
export function numberedMessage(lane: Lane, number: number): Message {
  const random = seededRandom(number);
  const size = Math.floor(BYTES_MIN + random() ** 3 * (BYTES_MAX - BYTES_MIN));
  const head = Buffer.from(`${number} `);
  const body =
    random() < 0.5
      ? createHash('shake256', { outputLength: size }).update(`${lane} ${number}`).digest()
      : Buffer.alloc(size, `${lane} ${number},`);
  const topic = `site/${lane}/dev${number % 5}/value`;
  return { topic, payload: Buffer.concat([head, body]), source: 'mqtt' };
}

/** The number of an event that is right in every byte; undefined for any other. */
export function numberOf(lane: Lane, { topic, payload }: Message): number | undefined {
  const text = payload.subarray(0, payload.indexOf(0x20)).toString('latin1');
  if (!/^\d{1,15}$/.test(text)) return undefined;
  const right = numberedMessage(lane, Number(text));
  return topic === right.topic && right.payload.equals(payload) ? Number(text) : undefined;
}
