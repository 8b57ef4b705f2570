import type { CloudEventOptions } from './cloud-event.ts';
import type { HubEvent } from './event.ts';

/** The attributes of an event but for what comes from its topic: 400 bytes, and room to grow. */
const ENVELOPE_BYTES = 1024;
/** The topic is in `subject`, and parts of it in `source` and `partitionkey`, escaped. */
const TOPIC_FACTOR = 16;
/** Base64 takes 4 bytes for 3. */
const PAYLOAD_FACTOR = 2;

/**
 * Bytes of the text that `encode` makes of `event`, when they are more than `bytesMax`. A small
 * payload is not encoded for that: nearly all are small, and a backlog is drained through here.
 */
export function cloudEventBytesAbove(
  event: HubEvent,
  bytesMax: number,
  encode: (event: HubEvent) => string,
  { content }: Pick<CloudEventOptions, 'content'>,
): number | undefined {
  // readings, and those of an aggregate, may be any number of times longer than their payload
  const bounded = content === 'payload' && event.kind !== 'aggregate';
  if (bounded && bytesAtMost(event) <= bytesMax) return undefined;
  const bytes = Buffer.byteLength(encode(event));
  return bytes > bytesMax ? bytes : undefined;
}

function bytesAtMost({ topic, payload }: HubEvent): number {
  const topicBytes = Buffer.byteLength(topic);
  return ENVELOPE_BYTES + TOPIC_FACTOR * topicBytes + PAYLOAD_FACTOR * payload.length;
}
