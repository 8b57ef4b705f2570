import { signal, useSignal } from '@preact/signals';
import { formatCount } from '../format.ts';
import { type Device, filterDevices, firstMetrics, packColumns } from '../readings.ts';
import { devices, metricsLeftOut } from '../store.ts';
import { Empty } from './empty.tsx';
import { MetricRow } from './metric-row.tsx';
import { Pill } from './pill.tsx';

/** Drawn at once: about three screens of a phone, and a chart each. */
const SHOWN_STEP = 60;
/** With fewer the eye is faster than a filter. */
const FILTER_FROM = 24;

/** A card narrower than 400 px has no room for its charts. */
const COLUMN_QUERIES = [matchMedia('(min-width: 860px)'), matchMedia('(min-width: 1260px)')];
const countColumns = () => 1 + COLUMN_QUERIES.filter(({ matches }) => matches).length;
const columnCount = signal(countColumns());
for (const query of COLUMN_QUERIES)
  query.addEventListener('change', () => {
    columnCount.value = countColumns();
  });

function DeviceCard({ device }: { device: Device }) {
  return (
    <article class={device.alarm ? 'device alarm' : 'device'} data-device={device.name}>
      <header class="device-head">
        <h3>{device.name}</h3>
        {Object.entries(device.tags).map(([name, value]) => (
          <span key={name} class="tag" title={name}>
            {value}
          </span>
        ))}
        {device.alarm && <Pill tone="bad">Alarm</Pill>}
      </header>
      <ul class="metrics">
        {device.metrics.map(({ key }) => (
          <MetricRow key={key} metricKey={key} />
        ))}
      </ul>
    </article>
  );
}

export function Readings() {
  const filter = useSignal('');
  const shownMax = useSignal(SHOWN_STEP);
  const all = devices.value;
  const total = all.reduce((sum, { metrics }) => sum + metrics.length, 0);
  const found = filterDevices(all, filter.value);
  const { shown, hidden } = firstMetrics(found, shownMax.value);
  return (
    <section id="readings" class="readings" aria-labelledby="readings-title" tabIndex={-1}>
      <div class="section-head">
        <h2 id="readings-title">Readings</h2>
        {total > 0 && (
          <span class="section-note">
            {formatCount(total + metricsLeftOut.value)} metrics of {formatCount(all.length)}{' '}
            devices, last 30 minutes
          </span>
        )}
        {total >= FILTER_FROM && (
          <input
            class="filter"
            type="search"
            placeholder="Filter by device, area, metric"
            aria-label="Filter readings"
            value={filter.value}
            onInput={(event) => {
              filter.value = event.currentTarget.value;
              shownMax.value = SHOWN_STEP;
            }}
          />
        )}
      </div>
      {total === 0 && <Empty />}
      {total > 0 && found.length === 0 && <p class="nothing">Nothing matches “{filter.value}”.</p>}
      <div class="devices">
        {packColumns(shown, columnCount.value).map((column, index) => (
          <div key={index} class="device-column">
            {column.map((device) => (
              <DeviceCard key={device.name} device={device} />
            ))}
          </div>
        ))}
      </div>
      {hidden > 0 && (
        <button
          type="button"
          class="more"
          onClick={() => {
            shownMax.value += SHOWN_STEP;
          }}
        >
          Show {Math.min(hidden, SHOWN_STEP)} more of {formatCount(hidden)}
        </button>
      )}
      {metricsLeftOut.value > 0 && (
        <p class="nothing">
          {formatCount(metricsLeftOut.value)} more metrics are stored and forwarded, but not held by
          this page.
        </p>
      )}
    </section>
  );
}
