import { remembering } from './remembered.ts';

/** Matching of MQTT topic filters (MQTT 3.1.1, section 4.7). */

/**
 * Whether `topic` matches `filter`, where `+` is one level and a final `#` is all further levels.
 */
export function topicMatches(filter: string, topic: string): boolean {
  if (filter === '#') return !topic.startsWith('$'); // [MQTT-4.7.2-1]
  const filterLevels = filter.split('/');
  const topicLevels = topic.split('/');
  if (topic.startsWith('$') && (filterLevels[0] === '+' || filterLevels[0] === '#')) return false;
  for (const [i, level] of filterLevels.entries()) {
    if (level === '#') return true;
    if (i >= topicLevels.length) return false;
    if (level !== '+' && level !== topicLevels[i]) return false;
  }
  return filterLevels.length === topicLevels.length;
}

/** Why `filter` is not a topic filter, or undefined when it is one. */
export function topicFilterProblem(filter: string): string | undefined {
  if (filter === '') return 'is empty';
  if (filter.includes('\u0000')) return 'contains a NUL character';
  const levels = filter.split('/');
  for (const [i, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || i !== levels.length - 1))
      return '`#` must be the whole last level';
    if (level.includes('+') && level !== '+') return '`+` must be a whole level';
  }
  return undefined;
}

/** A Pi sees few topics many times: 4,096 of at most 512 characters are 2 MB at the worst. */
export const REMEMBERED_TOPICS_MAX = 4_096;
export const REMEMBERED_TOPIC_CHARS_MAX = 512;

/** A predicate for any of `filters` that remembers its answers. */
export function topicMatcher(filters: readonly string[]): (topic: string) => boolean {
  if (filters.includes('#')) return (topic) => !topic.startsWith('$');
  return remembering(REMEMBERED_TOPICS_MAX, REMEMBERED_TOPIC_CHARS_MAX, (topic) =>
    filters.some((filter) => topicMatches(filter, topic)),
  );
}
