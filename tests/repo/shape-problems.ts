import type { Repository } from '../support/repository.ts';

/** What a kind of sink or bridge consists of, besides its files. */
export interface Kind {
  /** `sinks` or `firmware-bridge`. */
  readonly folder: string;
  /** The contract suite its test calls. */
  readonly contract: string;
}

export const KINDS: readonly Kind[] = [
  { folder: 'sinks', contract: '../contract/sink.ts' },
  { folder: 'firmware-bridge', contract: '../contract/bridge.ts' },
];

/** No kinds: what runs on the other end of a line, its protocol, and what kinds share. */
const NO_KINDS: ReadonlySet<string> = new Set([
  'firmware-bridge/firmware',
  'firmware-bridge/link',
  'firmware-bridge/port',
  'firmware-bridge/child',
  'firmware-bridge/format',
  'firmware-bridge/sampling',
  'firmware-bridge/register',
]);

function kindNames(repository: Repository, folder: string): string[] {
  const names = [...repository.keys()]
    .filter((path) => path.startsWith(`${folder}/`) && path.split('/').length > 2)
    .map((path) => path.split('/')[1] ?? '');
  return [...new Set(names)].filter((name) => !NO_KINDS.has(`${folder}/${name}`));
}

/**
 * A test area may name a kind as it likes; that one of its files calls the suite is what counts.
 */
function hasContractTest(
  repository: Repository,
  { folder, contract }: Kind,
  name: string,
): boolean {
  return [...repository].some(
    ([path, text]) =>
      path.startsWith(`tests/`) &&
      path.endsWith('.test.ts') &&
      text.includes(`'${contract}'`) &&
      text.includes(`/${folder}/${name}/`),
  );
}

/**
 * Every sink and bridge has its three files, its line in the registry and a test of the contract.
 */
export function kindProblems(repository: Repository): string[] {
  return KINDS.flatMap((kind) =>
    kindNames(repository, kind.folder).flatMap((name) => {
      const place = `${kind.folder}/${name}`;
      const missing = ['spec.ts', 'README.md']
        .filter((file) => !repository.has(`${place}/${file}`))
        .map((file) => `${place} has no ${file}`);
      const registry = repository.get(`${kind.folder}/registry.ts`) ?? '';
      if (!registry.includes(`'./${name}/spec.ts'`))
        missing.push(`${place} is not in the registry`);
      if (!hasContractTest(repository, kind, name))
        missing.push(`no test in tests/${kind.folder} calls ${kind.contract} for ${place}`);
      return missing;
    }),
  );
}

interface Manifest {
  readonly dependencies?: object;
  readonly devDependencies?: object;
  readonly optionalDependencies?: object;
  readonly peerDependencies?: object;
}

/**
 * Every dependency has a line `| name | why |` in docs/dependencies.md, and no line is left over.
 */
export function dependencyProblems(manifest: Manifest, document: string): string[] {
  const { dependencies, devDependencies, optionalDependencies, peerDependencies } = manifest;
  const lists = [dependencies, devDependencies, optionalDependencies, peerDependencies];
  const wanted = lists.flatMap((list) => Object.keys(list ?? {}));
  const rows = [...document.matchAll(/^\| `(?<name>[^`]+)` \| (?<why>.*\S.*) \|$/gm)];
  const explained = rows.map((row) => row.groups?.['name'] ?? '');
  return [
    ...wanted
      .filter((name) => !explained.includes(name))
      .map((name) => `docs/dependencies.md does not say why \`${name}\` is needed`),
    ...explained
      .filter((name) => !wanted.includes(name))
      .map((name) => `docs/dependencies.md explains \`${name}\`, which is not in package.json`),
  ];
}

/** Keep a Changelog 1.1.0: the only headings a version may have. */
const CHANGES = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'];
const VERSION_HEADING = /^## \[(Unreleased|\d+\.\d+\.\d+(-[\w.]+)?)\]( - \d{4}-\d{2}-\d{2})?$/;

/** What of the text is not of the shape of Keep a Changelog. */
export function changelogProblems(text: string): string[] {
  const lines = text.split('\n');
  const problems = lines[0] === '# Changelog' ? [] : ['the first line is not `# Changelog`'];
  const versions = lines.filter((line) => line.startsWith('## '));
  if (versions[0] !== '## [Unreleased]') problems.push('the first version is not `[Unreleased]`');
  for (const heading of versions) {
    const match = VERSION_HEADING.exec(heading);
    if (!match) problems.push(`\`${heading}\` is not \`## [1.2.3] - 2026-01-31\``);
    else if (match[1] !== 'Unreleased' && !match[3]) problems.push(`\`${heading}\` has no date`);
  }
  for (const heading of lines.filter((line) => line.startsWith('### ')))
    if (!CHANGES.includes(heading.slice(4)))
      problems.push(`\`${heading}\` is none of ${CHANGES.join(', ')}`);
  return problems;
}
