import { topicFilterProblem } from '../hub/core/topic.ts';

const CAPTURE = /^\{([A-Za-z_][A-Za-z0-9_]*)\}$/;

/** The names that `site/{area}/{device}/{metric}` captures, in order. */
export function templateCaptures(template: string): readonly string[] {
  return template.split('/').flatMap((level) => CAPTURE.exec(level)?.[1] ?? []);
}

/** Why `template` is not a topic template, or undefined when it is one. */
export function topicTemplateProblem(template: string): string | undefined {
  const levels = template.split('/');
  const bad = levels.find((level) => /[{}]/.test(level) && !CAPTURE.test(level));
  if (bad !== undefined)
    return 'a capture is a whole level, written `{name}` with letters, digits and `_`';
  const filter = levels.map((level) => (CAPTURE.test(level) ? '+' : level)).join('/');
  const problem = topicFilterProblem(filter);
  if (problem !== undefined) return problem;
  const captures = templateCaptures(template);
  const twice = captures.find((name, i) => captures.indexOf(name) !== i);
  if (twice !== undefined) return `captures \`{${twice}}\` twice`;
  if (!captures.includes('device')) return 'captures no `{device}`: every reading belongs to one';
  return undefined;
}
