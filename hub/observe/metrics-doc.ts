import { METRICS, type MetricDefinition } from './metrics-table.ts';

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function row({ name, type, labels, help }: MetricDefinition): string {
  const labelText = labels.length > 0 ? labels.map((label) => `\`${label}\``).join(', ') : '–';
  return `| \`${name}\` | ${type} | ${labelText} | ${cell(help)} |`;
}

function bucketLine({ name, buckets }: MetricDefinition): string[] {
  return buckets === undefined ? [] : [`- \`${name}\`: ${buckets.join(', ')}`];
}

/** docs/METRICS.md, made from the table. */
export function metricsReference(): string {
  const metrics: readonly MetricDefinition[] = METRICS;
  return `# Metrics

<!-- Generated from hub/observe/metrics-table.ts by \`npm run generate\`: edit the table. -->

\`GET /metrics\` answers these in the Prometheus text format. Labels are bounded: ids from the
configuration, lanes, states and reasons; never a topic, a device or a client id. Series whose
labels are known at the start are there from the first scrape on, at 0. Times are in seconds, sizes
in bytes.

| metric | type | labels | what it is |
|---|---|---|---|
${metrics.map(row).join('\n')}

## Buckets of the histograms
Upper bounds:

${metrics.flatMap(bucketLine).join('\n')}
`;
}
