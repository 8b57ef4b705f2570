import { remembering } from '../../core/remembered.ts';
import { REMEMBERED_TOPIC_CHARS_MAX, REMEMBERED_TOPICS_MAX } from '../../core/topic.ts';

/** Characters that a topic must not have: controls, and what invalid UTF-8 is decoded to. */
function hasForbiddenCharacter(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    // U+FFFD: aedes decodes invalid UTF-8 to it, and two devices' topics would become one
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f) || code === 0xfffd) return true;
  }
  return false;
}

export interface TopicLimits {
  readonly topicBytesMax: number;
  readonly topicLevelsMax: number;
}

/** Why a topic or filter is refused, as a word for the metric; empty when it is not. */
export function topicRefusals(limits: TopicLimits): (topic: string) => string {
  return remembering(REMEMBERED_TOPICS_MAX, REMEMBERED_TOPIC_CHARS_MAX, (topic) =>
    refusalOf(topic, limits),
  );
}

function refusalOf(topic: string, limits: TopicLimits): string {
  if (topic.startsWith('$')) return 'reserved_topic';
  if (Buffer.byteLength(topic) > limits.topicBytesMax) return 'topic_too_long';
  let levels = 1;
  for (let i = 0; i < topic.length; i++) if (topic.charCodeAt(i) === 0x2f) levels++;
  if (levels > limits.topicLevelsMax) return 'topic_too_deep';
  return hasForbiddenCharacter(topic) ? 'topic_characters' : '';
}

/** A client id of this length is no accident any more. */
const CLIENT_ID_BYTES_MAX = 256;

export function clientIdRefusal(clientId: string): string | undefined {
  if (Buffer.byteLength(clientId) > CLIENT_ID_BYTES_MAX) return 'client_id_too_long';
  return hasForbiddenCharacter(clientId) ? 'client_id_characters' : undefined;
}
