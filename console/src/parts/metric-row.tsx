import { useSignal } from '@preact/signals';
import { Fragment } from 'preact';
import { BYTES, formatAge, formatMeasured, formatValue } from '../format.ts';
import { freshnessOf, isAlarm, type Metric } from '../readings.ts';
import { WINDOW_MS } from '../series.ts';
import { histories, hubMs, metricOf, seriesOf } from '../store.ts';
import { Chart } from './chart.tsx';
import { Pill } from './pill.tsx';

function Age({ metric }: { metric: Metric }) {
  const { timeMs, timeQuality } = metric.latest;
  const ageMs = hubMs.value - timeMs;
  const freshness = freshnessOf(ageMs, metric.intervalMs);
  return (
    <time
      class={`age ${freshness}`}
      dateTime={new Date(timeMs).toISOString()}
      title={`${new Date(timeMs).toLocaleString()} (${timeQuality})`}
    >
      {freshness !== 'fresh' && <span class="unseen">{freshness}, </span>}
      {formatAge(ageMs)}
    </time>
  );
}

function Value({ metric }: { metric: Metric }) {
  const { latest, decimals } = metric;
  const { value } = latest;
  if (isAlarm(latest)) return <Pill tone="bad">Alarm</Pill>;
  if (typeof value === 'boolean')
    return <span class={`flag ${value ? 'on' : 'off'}`}>{formatValue(value)}</span>;
  if (typeof value === 'string')
    return (
      <span class="word" title={value}>
        {formatValue(value)}
      </span>
    );
  const { text, unit } = formatMeasured(value, latest.unit, decimals);
  return (
    <>
      <span class="number">{text}</span>
      <span class="unit">{unit}</span>
    </>
  );
}

/** Long names break between their words. */
function Name({ text }: { text: string }) {
  const words = text.split(/(?<=_)/);
  return (
    <span class="metric-name">
      {words.map((word, i) => (
        <Fragment key={i}>
          {i > 0 && <wbr />}
          {word}
        </Fragment>
      ))}
    </span>
  );
}

const SAMPLED = 'Drawn from a sample of the readings: extremes may be missing.';

/** Smallest and largest value of the window, under the name. */
function Range({ metric }: { metric: Metric }) {
  const series = seriesOf(metric.key);
  const range = series?.range(hubMs.value);
  if (!range || range.min === range.max) return null;
  const show = (value: number) => {
    const { text, unit } = formatMeasured(value, metric.latest.unit, metric.decimals);
    return metric.latest.unit === BYTES ? `${text} ${unit}` : text;
  };
  return (
    <span class="range">
      {series?.sampled && <span title={SAMPLED}>≈ </span>}
      {show(range.min)} … {show(range.max)}
    </span>
  );
}

function visibility(key: string): (visible: boolean) => void {
  return (visible) => (visible ? histories.show(key) : histories.hide(key));
}

/** One metric: name, the last half hour, value, age. A click opens the chart with its axes. */
export function MetricRow({ metricKey }: { metricKey: string }) {
  const open = useSignal(false);
  const metric = metricOf(metricKey)?.value;
  if (!metric) return null;
  const { latest } = metric;
  const series = typeof latest.value === 'number' ? seriesOf(metricKey) : undefined;
  const name = (
    <>
      <Name text={latest.metric} />
      {series && <Range metric={metric} />}
    </>
  );
  const label = `${latest.device} ${latest.metric}, last 30 minutes`;
  return (
    <li class={series ? 'metric' : 'metric plain'} data-metric={latest.metric}>
      {series ? (
        <button
          type="button"
          class="metric-title"
          aria-expanded={open.value}
          onClick={() => {
            open.value = !open.value;
          }}
        >
          {name}
        </button>
      ) : (
        <span class="metric-title">{name}</span>
      )}
      {series && (
        <div class="metric-chart">
          <Chart
            series={series}
            windowMs={WINDOW_MS}
            kind="spark"
            label={label}
            onVisible={visibility(metricKey)}
          />
        </div>
      )}
      <span class="metric-value">
        <Value metric={metric} />
      </span>
      <Age metric={metric} />
      {series && open.value && (
        <div class="metric-open">
          <Chart series={series} windowMs={WINDOW_MS} kind="full" label={label} />
          {series.sampled && <p class="chart-sampled">{SAMPLED}</p>}
        </div>
      )}
    </li>
  );
}
