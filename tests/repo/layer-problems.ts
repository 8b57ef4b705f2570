import { posix } from 'node:path';
import type { Repository } from '../support/repository.ts';
import { type Import, importsOf } from './imports.ts';
import { LAYERS, type Layer, PACKAGE_OWNERS } from './layer-table.ts';

const SOURCE =
  /^(hub|config|sinks|firmware-bridge|console|grafana-dashboards|bench|scripts|tests)\/.*\.tsx?$/;

/**
 * Whether `path` is `place` or lies in it; `*` stands for one folder and `*.ts` for one file. The
 * empty place holds all.
 */
function liesIn(path: string, place: string): boolean {
  if (place === '') return true;
  const levels = path.split('/');
  const wanted = place.split('/');
  if (wanted.includes('*') && levels.length <= wanted.length) return false;
  return wanted.every((level, i) => {
    if (level === '*.ts') return levels.length === wanted.length;
    return level === '*' || level === levels[i];
  });
}

function layerOf(path: string): Layer | undefined {
  return LAYERS.filter((layer) => liesIn(path, layer.of)).sort(
    (a, b) => b.of.split('/').length - a.of.split('/').length || b.of.length - a.of.length,
  )[0];
}

/** The part of `path` that a layer always may import: of `sinks/*` it is `sinks/http`. */
function ownPlace(path: string, layer: Layer): string {
  return path.split('/').slice(0, layer.of.split('/').length).join('/');
}

function packageOf(specifier: string): string {
  const [first = '', second = ''] = specifier.split('/');
  return first.startsWith('@') ? `${first}/${second}` : first;
}

function problemOf(path: string, layer: Layer, found: Import): string | undefined {
  const where = `${path}:${found.line} imports ${found.specifier}`;
  if (!found.specifier.startsWith('.')) {
    const owners = PACKAGE_OWNERS[packageOf(found.specifier)];
    if (!owners || liesIn(path, 'tests') || owners.some((owner) => liesIn(path, owner)))
      return undefined;
    return `${where}, but only ${owners.join(' and ')} may import that package`;
  }
  const target = posix.join(posix.dirname(path), found.specifier);
  const places = [
    ownPlace(path, layer),
    ...layer.may,
    ...(found.typeOnly ? (layer.types ?? []) : []),
  ];
  if (places.some((place) => liesIn(target, place))) return undefined;
  const onlyTypes = layer.types?.some((place) => liesIn(target, place));
  const rule = onlyTypes
    ? `${layer.of} may import only types from there (\`import type\`)`
    : `${layer.of} may import ${[...layer.may, ...(layer.types ?? [])].join(', ') || 'nothing of ours'}`;
  return `${where}, but ${rule}: ${layer.why}`;
}

/** Every import that the layer table does not allow, with the file, the import and the rule. */
export function layerProblems(repository: Repository): string[] {
  return [...repository].flatMap(([path, text]) => {
    if (!SOURCE.test(path)) return [];
    const layer = layerOf(path);
    if (!layer) return [`${path} lies in no layer of tests/repo/layer-table.ts`];
    return importsOf(text)
      .map((found) => problemOf(path, layer, found))
      .filter((problem) => problem !== undefined);
  });
}
