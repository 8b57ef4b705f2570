/** Control and format characters, which in a terminal would do something. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;

/** The first `charsMax` characters of what a stranger sent, on one line and harmless to print. */
export function printable(text: string, charsMax: number): string {
  const start = Array.from(text.slice(0, charsMax * 2))
    .slice(0, charsMax)
    .join('');
  const shown = start.replaceAll(
    UNPRINTABLE,
    (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`,
  );
  return start.length < text.length ? `${shown}…` : shown;
}
