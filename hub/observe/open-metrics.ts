/**
 * OpenMetrics text made of Prometheus text. Both come from one registry, and prom-client renames
 * the counters of a registry for good when it is asked for OpenMetrics.
 */

/** A measurement that stands for the others of its bucket, and the trace it was made in. */
export interface Exemplar {
  readonly traceId: string;
  readonly value: number;
  /** In seconds since 1970. */
  readonly timestamp: number;
}

/** By series of a bucket, as the Prometheus text writes it: `name_bucket{le="0.5",sink="a"}`. */
export type Exemplars = ReadonlyMap<string, Exemplar>;

const COUNTER = /^# TYPE (\S+)_total counter$/;
const SERIES = /^(\w+_bucket\{[^ ]*\}) /;
/** OpenMetrics writes bounds as floats. */
const WHOLE_BOUND = /(\ble="\d+)"/;

export function openMetricsText(prometheusText: string, exemplars: Exemplars): string {
  const lines: string[] = [];
  for (const line of prometheusText.split('\n')) {
    if (line === '') continue;
    const counter = COUNTER.exec(line)?.[1];
    if (counter !== undefined) {
      // the family of a counter has the name of its series without `_total`
      const help = lines.pop() ?? '';
      lines.push(help.replace(`# HELP ${counter}_total `, `# HELP ${counter} `));
      lines.push(`# TYPE ${counter} counter`);
      continue;
    }
    const series = SERIES.exec(line)?.[1];
    const exemplar = series === undefined ? undefined : exemplars.get(series);
    const written = line.replace(WHOLE_BOUND, '$1.0"');
    lines.push(exemplar === undefined ? written : `${written} ${exemplarText(exemplar)}`);
  }
  return `${lines.join('\n')}\n# EOF\n`;
}

function exemplarText({ traceId, value, timestamp }: Exemplar): string {
  return `# {trace_id="${traceId}"} ${value} ${timestamp.toFixed(3)}`;
}
