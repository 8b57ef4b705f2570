/**
 * Topic templates: a topic filter whose levels may be captures, `site/{area}/{device}/{metric}`.
 */

type Level =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'capture'; readonly name: string };

export interface TopicTemplate {
  readonly text: string;
  readonly levels: readonly Level[];
  /** Ends in `#`: further levels may follow, or none. */
  readonly open: boolean;
}

export interface Captures {
  readonly device: string;
  readonly metric: string | undefined;
  /** The other captures. Without a prototype, as names come from a file. */
  readonly tags: Readonly<Record<string, string>>;
}

const CAPTURE = /^\{([A-Za-z_][A-Za-z0-9_]*)\}$/;

/** Longer names are no device's: they would only fill the memory of every reader. */
const NAME_CHARS_MAX = 256;

/** Why `text` is no topic template, or undefined when it is one. */
export function templateProblem(text: string): string | undefined {
  if (text === '') return 'is empty';
  const names = new Set<string>();
  const levels = text.split('/');
  for (const [i, level] of levels.entries()) {
    const name = CAPTURE.exec(level)?.[1];
    if (name !== undefined) {
      if (names.has(name)) return `captures {${name}} twice`;
      names.add(name);
    } else if (level.includes('{') || level.includes('}')) {
      return `has \`${level}\`: a capture is a whole level such as {device}`;
    } else if (level.includes('#') && (level !== '#' || i !== levels.length - 1)) {
      return 'has a `#` that is not the whole last level';
    } else if (level.includes('+') && level !== '+') {
      return 'has a `+` that is not a whole level';
    }
  }
  return names.has('device') ? undefined : 'has no {device}';
}

/** `text` must have no `templateProblem`. */
export function parseTemplate(text: string): TopicTemplate {
  const parts = text.split('/');
  const open = parts.at(-1) === '#';
  const levels = (open ? parts.slice(0, -1) : parts).map((part): Level => {
    const name = CAPTURE.exec(part)?.[1];
    if (name !== undefined) return { kind: 'capture', name };
    return part === '+' ? { kind: 'any' } : { kind: 'text', text: part };
  });
  return { text, levels, open };
}

/** What `template` captures from the levels of a topic, or undefined when it does not match. */
export function matchTemplate(
  template: TopicTemplate,
  topicLevels: readonly string[],
): Captures | undefined {
  const { levels, open } = template;
  if (open ? topicLevels.length < levels.length : topicLevels.length !== levels.length)
    return undefined;
  // [MQTT-4.7.2-1]
  if (topicLevels[0]?.startsWith('$') && levels[0]?.kind !== 'text') return undefined;
  let device = '';
  let metric: string | undefined;
  const tags: Record<string, string> = Object.create(null);
  for (const [i, level] of levels.entries()) {
    const text = topicLevels[i] ?? '';
    if (level.kind === 'text' && level.text !== text) return undefined;
    if (level.kind !== 'capture') continue;
    if (text === '' || text.length > NAME_CHARS_MAX) return undefined;
    if (level.name === 'device') device = text;
    else if (level.name === 'metric') metric = text;
    else tags[level.name] = text;
  }
  return { device, metric, tags: Object.freeze(tags) };
}
