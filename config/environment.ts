/** The environment of the process, handed in by the command line. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** `$${` is a plain `${`; an opening without `}` runs to the end and is a mistake. */
const REFERENCE = /\$?\$\{([^}]*)(\}?)/g;
const NAME = /^([A-Za-z_][A-Za-z0-9_]*)(?:(:-)([\s\S]*))?$/;

interface Substitution {
  readonly text: string;
  /** What could not be replaced: the reference as written, and why. */
  readonly problems: readonly { readonly reference: string; readonly message: string }[];
}

/**
 * `text` with every `${NAME}` and `${NAME:-default}` replaced. As in a shell, `:-` also replaces a
 * variable that is set and empty.
 */
export function substituteEnvironment(text: string, env: Environment): Substitution {
  const problems: { reference: string; message: string }[] = [];
  const replaced = text.replaceAll(REFERENCE, (reference, inside: string, end: string) => {
    if (reference.startsWith('$$')) return reference.slice(1);
    const match = NAME.exec(inside);
    const name = match?.[1];
    if (name === undefined || end === '') {
      const message = '`${…}` names an environment variable; a plain `${` is written `$${`';
      problems.push({ reference, message });
      return '';
    }
    const value = Object.hasOwn(env, name) ? env[name] : undefined;
    if (match?.[2] !== undefined)
      return value === undefined || value === '' ? (match[3] ?? '') : value;
    if (value === undefined)
      problems.push({ reference, message: `the environment variable ${name} is not set` });
    return value ?? '';
  });
  return { text: replaced, problems };
}

/**
 * `{` and `}` end and begin things in YAML, so `{ token: ${TOKEN} }` would not be what it looks
 * like. While YAML is parsed, the braces of references are these two, which Unicode promises never
 * to use.
 */
const MASKED_OPEN = '\uFDD0';
const MASKED_CLOSE = '\uFDD1';

/** `text` with the braces of every `${NAME}` masked; everything keeps its place. */
export function maskReferences(text: string): string {
  if (text.includes(MASKED_OPEN) || text.includes(MASKED_CLOSE)) return text;
  return text.replaceAll(
    /\$\{([A-Za-z_][A-Za-z0-9_]*(?::-[^{}\n]*)?)\}/g,
    (_, inside: string) => `$${MASKED_OPEN}${inside}${MASKED_CLOSE}`,
  );
}

/** A piece of what `maskReferences` returned as it was. */
export function unmaskReferences(text: string): string {
  return text.replaceAll(MASKED_OPEN, '{').replaceAll(MASKED_CLOSE, '}');
}
