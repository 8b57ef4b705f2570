import type { BridgeDecodeRule } from '../../hub/core/bridge.ts';
import type { Fields } from './format.ts';

/** A level of a topic that is longer names nothing. */
const LEVEL_CHARACTERS_MAX = 128;
const RESERVED = /^(?:\$|holdfast\/)/;
const CAPTURE = /\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/** Why `text` cannot be the `topic` of a bridge that reads frames; undefined when it can. */
export function topicProblem(text: string): string | undefined {
  if (text === '' || RESERVED.test(text))
    return 'is empty, or begins with `$` or `holdfast/`, which are reserved';
  const rest = text.replaceAll(CAPTURE, 'x');
  if (/[{}]/.test(rest)) return 'has a capture that is not written `{name}`';
  return /[+#\p{C}]/u.test(rest) ? 'has a wildcard or a control character' : undefined;
}

export interface TopicTemplate {
  /** Names that the frame has to give. */
  readonly captures: readonly string[];
  /** Undefined when a frame does not give a name that can be a part of a topic. */
  fill(fields: Fields): string | undefined;
}

/** `{bridge}` is the id of the bridge, other names are fields of the frame. */
export function topicTemplate(text: string, bridgeId: string): TopicTemplate {
  const known = text.replaceAll('{bridge}', bridgeId);
  const captures = [...known.matchAll(CAPTURE)].map((match) => match[1] ?? '');
  if (captures.length === 0) return { captures, fill: () => known };
  return {
    captures,
    fill(fields) {
      let isWhole = true;
      const topic = known.replaceAll(CAPTURE, (_, name: string) => {
        const level = Object.hasOwn(fields, name) ? levelOf(fields[name]) : '';
        isWhole &&= level !== '';
        return level;
      });
      return isWhole && !RESERVED.test(topic) ? topic : undefined;
    },
  };
}

/** What a topic must not have in a level becomes `_`; empty for what is no name. */
function levelOf(value: unknown): string {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean')
    return '';
  const text = String(value).trim();
  return text.length > LEVEL_CHARACTERS_MAX ? '' : text.replaceAll(/[+#/\p{C}\ufffd]/gu, '_');
}

/**
 * How the messages of a bridge with this topic decode without a rule of the configuration: the
 * device is `{device}`, else the bridge. None when the topic names it only in a part of a level.
 */
export function ownDecodeRules(topic: string): readonly BridgeDecodeRule[] {
  const levels = topic.split('/');
  const names = levels.filter((level) => /[{}]/.test(level));
  const isPlain = names.every((name) => /^\{\w+\}$/.test(name));
  if (!isPlain || new Set(names).size < names.length) return [];
  const device = names.includes('{device}') ? '{device}' : '{bridge}';
  if (!names.includes(device)) return [];
  const template = levels.map((level) => {
    if (level === device) return '{device}';
    return level === '{bridge}' ? '+' : level;
  });
  return [{ topic: template.join('/'), format: 'json', units: {} }];
}
