import { holdfastHub } from './holdfast-hub.ts';

/** Path from the root of the repository, and content, of every file made from the builders. */
export function generatedFiles(): Map<string, string> {
  return new Map([
    ['grafana-dashboards/json/holdfast-hub.json', `${JSON.stringify(holdfastHub(), null, 2)}\n`],
  ]);
}
