import { remembering } from '../../core/remembered.ts';
import { REMEMBERED_TOPIC_CHARS_MAX, REMEMBERED_TOPICS_MAX } from '../../core/topic.ts';
import type { RefusalReason } from './refusals.ts';

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
export function topicRefusals(limits: TopicLimits): (topic: string) => RefusalReason | '' {
  return remembering(REMEMBERED_TOPICS_MAX, REMEMBERED_TOPIC_CHARS_MAX, (topic) =>
    refusalOf(topic, limits),
  );
}

function refusalOf(topic: string, limits: TopicLimits): RefusalReason | '' {
  if (topic.startsWith('$')) return 'reserved_topic';
  if (Buffer.byteLength(topic) > limits.topicBytesMax) return 'topic_too_long';
  let levels = 1;
  for (let i = 0; i < topic.length; i++) if (topic.charCodeAt(i) === 0x2f) levels++;
  if (levels > limits.topicLevelsMax) return 'topic_too_deep';
  return hasForbiddenCharacter(topic) ? 'topic_characters' : '';
}

/** Why a will is refused: it has a topic that nobody checks again before it is published. */
export function willRefusal(
  topic: string,
  topicRefusal: (topic: string) => RefusalReason | '',
): RefusalReason | '' {
  if (topic === '') return 'malformed_packet';
  return /[+#]/.test(topic) ? 'topic_wildcard' : topicRefusal(topic);
}

/** A client id of this length is no accident any more. */
const CLIENT_ID_BYTES_MAX = 256;

/** Why a client id is refused; empty when it is not. */
export function clientIdRefusal(clientId: string, clean: boolean): RefusalReason | '' {
  // a session under a name that was made up for it could never be found again [MQTT-3.1.3-8]
  if (clientId === '' && !clean) return 'client_id_missing';
  if (Buffer.byteLength(clientId) > CLIENT_ID_BYTES_MAX) return 'client_id_too_long';
  return hasForbiddenCharacter(clientId) ? 'client_id_characters' : '';
}
