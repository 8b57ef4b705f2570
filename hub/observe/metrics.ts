import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { BAD_FRAME_REASONS, BRIDGE_STATES } from '../core/bridge.ts';
import { LANES, LOSS_REASONS } from '../core/event.ts';
import { LINK_STATES } from '../core/link.ts';
import { HOLD_REASONS } from '../core/status.ts';
import { METRICS, type MetricDefinition } from './metrics-table.ts';
import { type Exemplar, openMetricsText } from './open-metrics.ts';

type Definition = (typeof METRICS)[number];
type NameOf<Type extends Definition['type']> = Extract<Definition, { type: Type }>['name'];
type LabelOf<Name extends Definition['name']> = Extract<
  Definition,
  { name: Name }
>['labels'][number];
/** No argument for a metric without labels, else exactly its labels. */
type Labels<Name extends Definition['name']> = [LabelOf<Name>] extends [never]
  ? []
  : [labels: Readonly<Record<LabelOf<Name>, string>>];

export interface CounterCell {
  /** `by` must not be negative. Default 1. */
  inc(by?: number): void;
  /** For a total that is kept elsewhere: raises the counter to it; a lower one changes nothing. */
  raiseTo(total: number): void;
}

export interface GaugeCell {
  /** `null` makes it absent: there is nothing to tell. */
  set(value: number | null): void;
}

export interface HistogramCell {
  /** `traceId`: of the trace that the value was measured in, if any; becomes an exemplar. */
  observe(value: number, traceId?: string): void;
}

/** Cells are made once and kept: finding one costs more than counting. */
export interface Metrics {
  counter<Name extends NameOf<'counter'>>(name: Name, ...labels: Labels<Name>): CounterCell;
  gauge<Name extends NameOf<'gauge'>>(name: Name, ...labels: Labels<Name>): GaugeCell;
  histogram<Name extends NameOf<'histogram'>>(name: Name, ...labels: Labels<Name>): HistogramCell;
  /**
   * `collector` runs before every scrape: the place to set gauges. One that throws fails the
   * scrape.
   */
  onScrape(collector: () => void): void;
  /** Prometheus text, or OpenMetrics text with exemplars. */
  text(format?: 'prometheus' | 'openmetrics'): Promise<string>;
}

/** What is known at the start, so that every series exists from the first scrape on. */
export interface KnownLabels {
  readonly version: string;
  readonly sources: readonly string[];
  readonly sinks: readonly string[];
  readonly bridges: readonly string[];
}

const UNDECODED_REASONS = ['invalid', 'skipped'] as const;

/** Gauges that mean something only at times; the others start at 0. */
const SOMETIMES_ABSENT: ReadonlySet<string> = new Set<NameOf<'gauge'>>([
  'holdfast_log_seconds_until_full',
  'holdfast_sink_drain_eta_seconds',
]);

/** The values of a label of a metric, as far as they are known; undefined when they are not. */
function knownValues(
  name: string,
  label: string,
  known: KnownLabels,
): readonly string[] | undefined {
  switch (label) {
    case 'lane':
      return LANES;
    case 'source':
      return known.sources;
    case 'sink':
      return known.sinks;
    case 'bridge':
      return known.bridges;
    case 'version':
      return [known.version];
    case 'state':
      return name === 'holdfast_bridge_link' ? BRIDGE_STATES : LINK_STATES;
    case 'reason':
      if (name === 'holdfast_undecoded_events_total') return UNDECODED_REASONS;
      if (name === 'holdfast_sink_held') return HOLD_REASONS;
      if (name === 'holdfast_bridge_bad_frames_total') return BAD_FRAME_REASONS;
      return name === 'holdfast_mqtt_refused_total' ? undefined : LOSS_REASONS;
    default:
      return undefined;
  }
}

/** Every combination of known label values; none when a label's values are not known. */
function knownSets(definition: Definition, known: KnownLabels): Record<string, string>[] {
  let sets: Record<string, string>[] = [{}];
  for (const label of definition.labels) {
    const values = knownValues(definition.name, label, known) ?? [];
    sets = sets.flatMap((set) => values.map((value) => ({ ...set, [label]: value })));
  }
  return sets;
}

class Cells implements Metrics {
  readonly #registry = new Registry();
  readonly #counters = new Map<string, Counter>();
  readonly #gauges = new Map<string, Gauge>();
  readonly #histograms = new Map<string, Histogram>();
  readonly #cells = new Map<string, CounterCell>();
  /** The last one of each bucket: bounded by the series. */
  readonly #exemplars = new Map<string, Exemplar>();
  readonly #collectors: (() => void)[] = [];

  constructor(known: KnownLabels) {
    for (const definition of METRICS) this.#register(definition, knownSets(definition, known));
    this.#gauge('holdfast_build_info').set({ version: known.version }, 1);
  }

  counter(name: NameOf<'counter'>, labels: Readonly<Record<string, string>> = {}): CounterCell {
    // One cell per series, as `raiseTo` must know all that was counted.
    const key = `${name}${JSON.stringify(Object.entries(labels).sort())}`;
    const known = this.#cells.get(key);
    if (known !== undefined) return known;
    const series = found(this.#counters, name).labels(labels);
    let total = 0;
    const inc = (by = 1) => {
      series.inc(by);
      total += by;
    };
    const cell = { inc, raiseTo: (to: number) => inc(Math.max(0, to - total)) };
    inc(0);
    this.#cells.set(key, cell);
    return cell;
  }

  gauge(name: NameOf<'gauge'>, labels: Readonly<Record<string, string>> = {}): GaugeCell {
    const gauge = this.#gauge(name);
    return {
      set(value) {
        if (value === null) gauge.remove(labels);
        else gauge.set(labels, value);
      },
    };
  }

  histogram(
    name: NameOf<'histogram'>,
    labels: Readonly<Record<string, string>> = {},
  ): HistogramCell {
    const series = found(this.#histograms, name).labels(labels);
    const bounds = boundsOf(name);
    const text = Object.entries(labels).map(([label, value]) => `,${label}="${value}"`);
    return {
      observe: (value, traceId) => {
        series.observe(value);
        if (traceId === undefined) return;
        const bound = bounds.find((candidate) => value <= candidate) ?? '+Inf';
        const bucket = `${name}_bucket{le="${bound}"${text.join('')}}`;
        this.#exemplars.set(bucket, { traceId, value, timestamp: Date.now() / 1000 });
      },
    };
  }

  onScrape(collector: () => void): void {
    this.#collectors.push(collector);
  }

  async text(format: 'prometheus' | 'openmetrics' = 'prometheus'): Promise<string> {
    for (const collect of this.#collectors) collect();
    const text = await this.#registry.metrics();
    return format === 'openmetrics' ? openMetricsText(text, this.#exemplars) : text;
  }

  #gauge(name: NameOf<'gauge'>): Gauge {
    return found(this.#gauges, name);
  }

  #register(definition: Definition, sets: readonly Record<string, string>[]): void {
    const { name, help } = definition;
    const options = { name, help, labelNames: [...definition.labels], registers: [this.#registry] };
    switch (definition.type) {
      case 'counter':
        this.#counters.set(name, new Counter(options));
        for (const set of sets) this.counter(definition.name, set);
        break;
      case 'gauge': {
        const gauge = new Gauge(options);
        this.#gauges.set(name, gauge);
        for (const set of sets)
          if (SOMETIMES_ABSENT.has(name)) gauge.remove(set);
          else gauge.set(set, 0);
        break;
      }
      case 'histogram': {
        const { buckets } = definition;
        const histogram = new Histogram({ ...options, ...(buckets && { buckets: [...buckets] }) });
        this.#histograms.set(name, histogram);
        for (const set of sets) histogram.zero(set);
      }
    }
  }
}

function boundsOf(name: string): readonly number[] {
  const definitions: readonly MetricDefinition[] = METRICS;
  return definitions.find((definition) => definition.name === name)?.buckets ?? [];
}

function found<Item>(items: ReadonlyMap<string, Item>, name: string): Item {
  const item = items.get(name);
  if (item === undefined) throw new Error(`${name} is not in the table of metrics`);
  return item;
}

/** A registry of its own with every metric of the table, the known series at 0. */
export function createMetrics(known: KnownLabels): Metrics {
  return new Cells(known);
}
