import { readFileSync, writeFileSync } from 'node:fs';
import { inRoot } from './paths.mjs';
import { compiledFolders, filesBelow } from './sources.mjs';

const LINE_CHARACTERS_MAX = 100;
const SOURCE = /\.(tsx?|mjs|css|c)$/;

const ONE_LINE_BLOCK = /^(\s*)(\/\*\*?) (.*) \*\/$/;
/** The start of a comment line, with the dash or the indentation of a list item. */
const COMMENT_LINE = /^(?<prefix>\s*(?:\*|\/\/) (?:- | {2})?)(?<text>\S.*)$/;
/** What begins a paragraph of its own, so that nothing may be put in front of it. */
const NEW_PARAGRAPH = /^(- |@|\||`{3})/;

/** Breaks comment lines that are too long: the formatter breaks code, but never a comment. */
export function wrapComments(text) {
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i++) {
    if (lines[i].length <= LINE_CHARACTERS_MAX || lines[i].includes('://')) continue;
    const block = ONE_LINE_BLOCK.exec(lines[i]);
    if (block) {
      const [, indent, opening, words] = block;
      lines.splice(i, 1, `${indent}${opening}`, `${indent} * ${words}`, `${indent} */`);
      i += 1;
    }
    wrapLine(lines, i);
  }
  return lines.join('\n');
}

/**
 * Moves the words that are too many to the next line of the same paragraph, or to one of its own.
 */
function wrapLine(lines, index) {
  const comment = COMMENT_LINE.exec(lines[index])?.groups;
  if (!comment || lines[index].length <= LINE_CHARACTERS_MAX) return;
  const cut = lines[index].lastIndexOf(' ', LINE_CHARACTERS_MAX);
  if (cut <= comment.prefix.length) return; // one endless word
  const rest = lines[index].slice(cut + 1);
  lines[index] = lines[index].slice(0, cut);
  const prefix = comment.prefix.replace('- ', '  ');
  const next = COMMENT_LINE.exec(lines[index + 1] ?? '')?.groups;
  if (next?.prefix === prefix && !NEW_PARAGRAPH.test(next.text))
    lines[index + 1] = `${prefix}${rest} ${next.text}`;
  else lines.splice(index + 1, 0, `${prefix}${rest}`);
}

/** Wraps the comments of all sources. */
export function wrapAllComments() {
  const folders = new Set([...compiledFolders(), 'console', 'scripts']);
  for (const path of [...folders].flatMap(filesBelow).filter((name) => SOURCE.test(name))) {
    const text = readFileSync(inRoot(path), 'utf8');
    const wrapped = wrapComments(text);
    if (wrapped !== text) writeFileSync(inRoot(path), wrapped);
  }
}
