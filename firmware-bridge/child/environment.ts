/**
 * What a program is told of the hub's environment: what it needs to find its files and to write in
 * the right language, and nothing that could be a token.
 */
const HANDED_ON: ReadonlySet<string> = new Set([
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'LANG',
  'LANGUAGE',
  'TZ',
  'TMPDIR',
]);

type Variables = Readonly<Record<string, string | undefined>>;

/** The environment of a program: the harmless part of `hub`, and what `own` sets. */
export function programEnvironment(own: Variables = {}, hub: Variables = process.env): Variables {
  const kept = Object.entries(hub).filter(
    ([name]) => HANDED_ON.has(name) || name.startsWith('LC_'),
  );
  return { ...Object.fromEntries(kept), ...own };
}
