import type { SinkStatus } from '../../../hub/core/status.ts';
import { lineOf, marksOf, OUTAGE_WINDOWS, outagesIn, summaryOf } from '../outage-view.ts';
import { outages, outageWindow } from '../store.ts';

/** As many as one reads; the API has the others. */
const LISTED_MAX = 10;

/** Which past the bars show: one switch for all of them. */
export function OutageWindowSwitch() {
  return (
    <fieldset class="outage-windows">
      <legend class="unseen">Outages of the last</legend>
      {OUTAGE_WINDOWS.map((window) => (
        <button
          key={window.name}
          type="button"
          aria-pressed={outageWindow.value === window}
          onClick={() => {
            outageWindow.value = window;
          }}
        >
          {window.name}
        </button>
      ))}
    </fieldset>
  );
}

/** A thin bar of the past of a sink with its outages marked, and the list behind it. */
export function OutageHistory({ sink, nowMs }: { sink: SinkStatus; nowMs: number }) {
  const past = outages.value.get(sink.id) ?? [];
  const window = outageWindow.value;
  const summary = summaryOf(past, nowMs, window);
  const listed = outagesIn(past, nowMs, window.windowMs).slice(0, LISTED_MAX);
  return (
    <details class={`outages ${listed.length === 0 ? 'none' : ''}`}>
      <summary>
        <svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label={summary}>
          <rect class="outage-past" width="100" height="10" />
          {marksOf(past, nowMs, window.windowMs).map(({ id, left, width }) => (
            <rect key={id} class="outage-mark" x={left} width={width} height="10" />
          ))}
        </svg>
        <span class="outage-summary">{summary}</span>
      </summary>
      {listed.length > 0 && (
        <ol>
          {listed.map((outage) => (
            <li key={outage.id} class={outage.endedMs === null ? 'bad' : ''}>
              {lineOf(outage, nowMs)}
              <span class="outage-why">{outage.lastError.text}</span>
            </li>
          ))}
        </ol>
      )}
    </details>
  );
}
