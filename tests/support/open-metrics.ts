/**
 * What is wrong with a text that says it is OpenMetrics 1.0, as far as a hub can get it wrong: the
 * order of lines, the names of counters, canonical bounds, exemplars in their place and bucket.
 */
const TYPE = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/;
const HELP = /^# HELP ([a-z_]+) .+$/;
const LABELS = String.raw`\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*")(?:,[a-z_]+="(?:[^"\\\n]|\\[\\n"])*")*\}`;
const NUMBER = String.raw`[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf)|NaN`;
const SAMPLE = new RegExp(
  `^([a-z_]+)(${LABELS})? (${NUMBER})( # (${LABELS}) (${NUMBER}) (\\d+\\.\\d+))?$`,
);
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total'],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
};
/** Of an exemplar: the labels' names and values together. */
const EXEMPLAR_CHARS_MAX = 128;

export function openMetricsProblems(text: string): string[] {
  const problems: string[] = [];
  if (!text.endsWith('\n# EOF\n')) return ['does not end with # EOF'];
  let family = { name: '', type: '' };
  const seen = new Set<string>();
  let boundBefore = Number.NEGATIVE_INFINITY;
  for (const line of text.slice(0, -'\n# EOF\n'.length).split('\n')) {
    const [, name, type] = TYPE.exec(line) ?? [];
    if (name !== undefined && type !== undefined) {
      if (seen.has(name)) problems.push(`family ${name} twice`);
      if (type === 'counter' && name.endsWith('_total')) problems.push(`${line}: ends with _total`);
      seen.add(name);
      family = { name, type };
      continue;
    }
    if (HELP.test(line)) continue;
    const sample = SAMPLE.exec(line);
    if (!sample) {
      problems.push(`no sample: ${line}`);
      continue;
    }
    const [, series = '', labels = '', value, exemplar, exemplarLabels = '', measured] = sample;
    const suffix = series.slice(family.name.length);
    if (!series.startsWith(family.name) || !SUFFIXES[family.type]?.includes(suffix))
      problems.push(`${series} is not of ${family.type} ${family.name}`);
    if (exemplar !== undefined && suffix !== '_bucket' && suffix !== '_total')
      problems.push(`an exemplar where there is none: ${line}`);
    if (exemplarLabels.replaceAll(/[{}",=]/g, '').length > EXEMPLAR_CHARS_MAX)
      problems.push(`an exemplar that is too long: ${line}`);
    if (suffix !== '_bucket') continue;
    const bound = /le="([^"]+)"/.exec(labels)?.[1] ?? '';
    if (bound !== '+Inf' && !/^\d+\.\d+$/.test(bound)) problems.push(`no canonical bound: ${line}`);
    const upper = bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound);
    const lower = upper > boundBefore ? boundBefore : Number.NEGATIVE_INFINITY;
    if (measured !== undefined && !(Number(measured) <= upper && Number(measured) > lower))
      problems.push(`an exemplar of another bucket: ${line}`);
    if (value === undefined || !(Number(value) >= 0)) problems.push(`no count: ${line}`);
    boundBefore = upper;
  }
  return problems;
}
