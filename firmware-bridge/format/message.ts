import type { Message } from '../../hub/core/event.ts';
import type { Parsed } from './format.ts';
import type { TopicTemplate } from './topic.ts';

type Readable = Exclude<Parsed, { kind: 'nothing' }>;

/** What is published of a frame; undefined when it does not name its topic. */
export function messageOf(
  parsed: Readable,
  template: TopicTemplate,
): Omit<Message, 'source'> | undefined {
  const topicOnly = parsed.kind === 'fields' ? parsed.topicOnly : undefined;
  const topic = template.fill(topicOnly ? { ...parsed.fields, ...topicOnly } : parsed.fields);
  return topic === undefined ? undefined : { topic, payload: payloadOf(parsed, template) };
}

/** What is in the topic already would become a reading of its own. */
function payloadOf(parsed: Readable, { captures }: TopicTemplate): Buffer {
  if (parsed.kind === 'payload') return parsed.payload;
  if (captures.length === 0) return Buffer.from(JSON.stringify(parsed.fields));
  const left = Object.entries(parsed.fields).filter(([name]) => !captures.includes(name));
  return Buffer.from(JSON.stringify(Object.fromEntries(left)));
}
