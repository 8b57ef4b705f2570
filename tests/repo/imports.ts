/** One import of a file: what it names and whether it is gone after compiling. */
export interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
  readonly line: number;
}

/**
 * Finds `import ... from '...'`, `export ... from '...'`, `import '...'`, `import('...')` and
 * `typeof import('...')`. It reads text, not syntax: a statement begins a line, as the formatter
 * puts it, and a dynamic import with a computed name is not seen.
 */
const STATEMENT =
  /^(?:import|export)\b(?<clause>[^;'"]*?)\bfrom\s*'(?<from>[^']+)'|^import\s*'(?<bare>[^']+)'/gm;
const CALL = /(?<typeof>typeof\s+)?\bimport\(\s*'(?<call>[^']+)'\s*\)/g;
const COMMENT = /\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm;

/** Every name in braces carries `type`, and there is nothing outside of them. */
const ALL_TYPES = /^\s*\{(?:\s*type\s+[^,}]+,?)+\s*\}\s*$/;

export function importsOf(text: string): Import[] {
  const code = text.replaceAll(COMMENT, (comment) => comment.replaceAll(/[^\n]/g, ' '));
  const lineAt = (index: number) => code.slice(0, index).split('\n').length;
  const statements = [...code.matchAll(STATEMENT)].map((match) => {
    const clause = match.groups?.['clause'] ?? '';
    return {
      specifier: match.groups?.['from'] ?? match.groups?.['bare'] ?? '',
      typeOnly: /^\s*type\b/.test(clause) || ALL_TYPES.test(clause),
      line: lineAt(match.index),
    };
  });
  const calls = [...code.matchAll(CALL)].map((match) => ({
    specifier: match.groups?.['call'] ?? '',
    typeOnly: match.groups?.['typeof'] !== undefined,
    line: lineAt(match.index),
  }));
  return [...statements, ...calls];
}
