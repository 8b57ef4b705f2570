/** Why the broker refused something or cut a client: the values of the metric's label `reason`. */
export const REFUSAL_REASONS = [
  'client_id_characters',
  'client_id_missing',
  'client_id_too_long',
  'connect_timeout',
  'inflight_limit',
  'malformed_packet',
  'not_authorized',
  'packet_too_large',
  'protocol_version',
  'reserved_topic',
  'retained_limit',
  'session_limit',
  'session_queue_full',
  'subscription_limit',
  'too_many_clients',
  'too_slow',
  'topic_characters',
  'topic_too_deep',
  'topic_too_long',
  'topic_wildcard',
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** aedes tells in words why it cuts a client. Not listed: no refusals, like a lost socket. */
const CUTS: readonly (readonly [words: RegExp, reason: RefusalReason])[] = [
  [/^connect did not arrive in time/, 'connect_timeout'],
  [/^drain timeout/, 'too_slow'],
  [/^maxInflightInbound exceeded/, 'inflight_limit'],
  [/^(Invalid protocol|Client queue limit reached|impossible to )/, 'malformed_packet'],
  [/^topic has too many levels/, 'topic_too_deep'],
  [/^[#+] is (not|only) allowed/, 'topic_wildcard'],
  [/^unacceptable protocol version/, 'protocol_version'],
];

/** Why a client was cut, when it was for something it did. */
export function cutReason(error: Error): RefusalReason | undefined {
  return CUTS.find(([words]) => words.test(error.message))?.[1];
}
