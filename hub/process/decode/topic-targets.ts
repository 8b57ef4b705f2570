import type { CompiledRule } from './compiled-rule.ts';
import { matchTemplate } from './template.ts';

/** What a topic alone says about its events. */
export interface TopicTarget {
  readonly rule: CompiledRule | undefined;
  readonly device: string;
  /** The {metric} capture. */
  readonly metric: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
}

/** A Pi sees few topics many times. 8,192 with their captures are 4 MB at most as long as ... */
const REMEMBERED_TOPICS_MAX = 8_192;
/** ... each is of an ordinary length; longer ones are matched afresh every time. */
const REMEMBERED_TOPIC_CHARS_MAX = 256;

const NO_TAGS: Readonly<Record<string, string>> = Object.freeze(Object.create(null));

/** Finds the first rule that matches a topic, and remembers the answers. */
export function topicTargets(rules: readonly CompiledRule[]): (topic: string) => TopicTarget {
  const remembered = new Map<string, TopicTarget>();
  return (topic) => {
    const known = remembered.get(topic);
    if (known !== undefined) return known;
    const target = findTarget(rules, topic);
    if (topic.length <= REMEMBERED_TOPIC_CHARS_MAX) {
      if (remembered.size >= REMEMBERED_TOPICS_MAX) remembered.clear();
      remembered.set(topic, target);
    }
    return target;
  };
}

function findTarget(rules: readonly CompiledRule[], topic: string): TopicTarget {
  const levels = topic.split('/');
  for (const rule of rules) {
    const captures = matchTemplate(rule.template, levels);
    if (captures !== undefined)
      return { rule, device: captures.device, metric: captures.metric, tags: captures.tags };
  }
  const lastLevel = topic.lastIndexOf('/');
  const device = lastLevel > 0 ? topic.slice(0, lastLevel) : topic;
  return { rule: undefined, device, metric: undefined, tags: NO_TAGS };
}
