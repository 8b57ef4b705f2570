import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packageRoot } from '../config/find-file.ts';
import { generatedFiles as configFiles } from '../config/generate.ts';
import { generatedFiles as dashboardFiles } from '../grafana-dashboards/generate.ts';
import { metricsReference } from '../hub/observe/metrics-doc.ts';

/** Everything in the repository that is made from code; tests hold each to what is committed. */
const files = new Map([
  ...configFiles(),
  ...dashboardFiles(),
  ['docs/METRICS.md', metricsReference()],
]);

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined; // not made yet
  }
}

for (const [path, content] of files) {
  const file = join(packageRoot(), path);
  if (contentOf(file) === content) continue;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  console.log(`wrote ${path}`);
}
