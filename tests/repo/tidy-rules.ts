/**
 * Rules that look at one file at a time. Style is a test here, so that nobody has to say it in
 * review.
 */
export interface FileProblem {
  readonly line: number;
  readonly what: string;
}

export interface TidyRule {
  readonly name: string;
  appliesTo(path: string): boolean;
  problems(path: string, text: string): FileProblem[];
}

/** Two windows side by side on a laptop, and a diff on a phone. */
const LINE_CHARACTERS_MAX = 100;
/** What one can hold in mind; longer files hold two things. */
const FILE_LINES_MAX = 500;

const isCode = (path: string) => /\.(tsx?|mjs|css|c)$/.test(path);
/** These files speak of what is forbidden, or are made by others. */
const isOwn = (path: string) => path !== 'package-lock.json' && path !== 'LICENSE';
const isRule = (path: string) => /^tests\/repo\/(tidy-rules|tidy\.test|lint\.test)\.ts$/.test(path);

function linesThatMatch(text: string, pattern: RegExp, what: string): FileProblem[] {
  return text
    .split('\n')
    .flatMap((line, index) => (pattern.test(line) ? [{ line: index + 1, what }] : []));
}

/**
 * The formatter keeps code within the limit; it cannot break a string, a template or JSX text, and
 * such lines stay. Comments are ours to break.
 */
function isTooLong(line: string): boolean {
  if ([...line].length <= LINE_CHARACTERS_MAX) return false;
  const isComment = /^\s*(\*|\/\*|\/\/)/.test(line);
  return isComment ? !/https?:\/\//.test(line) : !/['"`>]/.test(line);
}

/**
 * Biome's useErrorCause looks for the cause in the second argument; ours is in the third of
 * HubError. This reads text: a brace inside a string of the block would end it early or late.
 */
function throwsWithoutCause(text: string): FileProblem[] {
  return [...text.matchAll(/\bcatch \(\w+\) \{/g)].flatMap((start) => {
    const block = text.slice(start.index, blockEnd(text, start.index + start[0].length));
    return [...block.matchAll(/\bthrow new \w+\([\s\S]*?\);/g)]
      .filter((found) => !/\bcause\b/.test(found[0]))
      .map((found) => ({
        line: text.slice(0, start.index + found.index).split('\n').length,
        what: 'give the new error the old one as its `cause`',
      }));
  });
}

function blockEnd(text: string, start: number): number {
  let depth = 1;
  for (let i = start; i < text.length; i++) {
    if (text[i] === '{') depth += 1;
    else if (text[i] === '}' && --depth === 0) return i;
  }
  return text.length;
}

export const TIDY_RULES: readonly TidyRule[] = [
  {
    name: 'line length',
    appliesTo: isCode,
    problems: (_path, text) =>
      text.split('\n').flatMap((line, index) =>
        isTooLong(line)
          ? [
              {
                line: index + 1,
                what: `${line.length} characters; at most ${LINE_CHARACTERS_MAX}`,
              },
            ]
          : [],
      ),
  },
  {
    name: 'file size',
    appliesTo: isCode,
    problems: (_path, text) => {
      const count = text.split('\n').length - 1;
      return count > FILE_LINES_MAX
        ? [{ line: count, what: `${count} lines; at most ${FILE_LINES_MAX}` }]
        : [];
    },
  },
  {
    name: 'unfinished work',
    appliesTo: (path) => isOwn(path) && !isRule(path),
    problems: (_path, text) =>
      linesThatMatch(text, /\b(TODO|FIXME|XXX|HACK)\b/, 'finish it, or write an issue'),
  },
  {
    name: 'machine paths',
    appliesTo: (path) => isOwn(path) && !isRule(path),
    problems: (_path, text) =>
      linesThatMatch(
        text,
        /(^|[^\w.])\/(work|farm|root|home\/[a-z]+|Users\/\w+)\//,
        'a path of one machine',
      ),
  },
  {
    name: 'registry hosts',
    appliesTo: (path) => !isRule(path),
    problems: (_path, text) =>
      linesThatMatch(
        text,
        /https?:\/\/[\w.-]*(npmjs|yarnpkg|registry|artifactory|verdaccio|pypi|crates)[\w.-]*/,
        'where packages come from is a setting of the machine',
      ),
  },
  {
    name: 'narrowed tests',
    appliesTo: (path) => path.startsWith('tests/') && !isRule(path),
    problems: (_path, text) =>
      linesThatMatch(
        text,
        /\.only\(|\bonly: true|\.todo\(|\btodo: true/,
        'runs less than it seems',
      ),
  },
  {
    name: 'causes of errors',
    appliesTo: (path) => /\.tsx?$/.test(path) && !isRule(path),
    problems: (_path, text) => throwsWithoutCause(text),
  },
  {
    name: 'file names',
    appliesTo: () => true,
    problems: (path) => {
      const name = /(^|[/-])(utils?|helpers?|managers?|common|misc)([./-]|$)/.exec(path);
      return name ? [{ line: 1, what: `\`${name[2]}\` says nothing; name what it does` }] : [];
    },
  },
  {
    name: 'depth of tests',
    appliesTo: (path) => /\.test\.[^/]*$/.test(path),
    problems: (path) =>
      /^tests\/[^/]+\/[^/]+\.test\.ts$/.test(path)
        ? []
        : [{ line: 1, what: 'is not run: tests are tests/<area>/<name>.test.ts' }],
  },
];
