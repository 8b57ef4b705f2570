import {
  EventsPerSecond,
  PercentUnit,
  Seconds,
  Short,
} from '@grafana/grafana-foundation-sdk/units';
import { type Sized, stat, thresholds } from '../panels.ts';
import { gauge, gaugeSum, increase, orZero, rate } from '../promql.ts';
import { SINK_DOWN_STATES } from '../states.ts';

const size = { columns: 4, rows: 4 };

function storedPanels() {
  const eventsIn = stat({
    id: 11,
    title: 'Events in',
    description:
      'Events accepted into the log per second. At 0, look at Inputs below: are devices ' +
      'connected, are publishes refused? "no data" means that the store does not reach the ' +
      'hub: open /health of the hub, then the scrape configuration.',
    unit: EventsPerSecond,
    queries: [{ expr: rate('holdfast_ingest_events_total'), legend: '{{hub}}' }],
  }).decimals(1);
  const logFilled = stat({
    id: 12,
    title: 'Log filled',
    description:
      'Size of the log against log.capacity.bytes_max. It grows while a sink cannot deliver. ' +
      'From 90 %, bring the sink back (Store and forward), or give the log more room before ' +
      'log.capacity.when_full decides what happens.',
    unit: PercentUnit,
    queries: [
      {
        expr: `${gauge('holdfast_log_bytes')} / ${gauge('holdfast_log_bytes_max')}`,
        legend: '{{hub}}',
      },
    ],
  })
    .decimals(1)
    .thresholds(thresholds('green', [0.7, 'orange'], [0.9, 'red']));
  const oldestAge = stat({
    id: 13,
    title: 'Oldest event kept',
    description:
      'Age of the oldest event in the log. About log.retention.age_max is normal: delivered ' +
      'events are kept that long for history and replay. Much more means that a sink has not ' +
      'taken events for that long: find it by its lag.',
    unit: Seconds,
    queries: [{ expr: gauge('holdfast_log_oldest_age_seconds'), legend: '{{hub}}' }],
  })
    .decimals(1)
    .thresholds(thresholds('text'));
  return { eventsIn, logFilled, oldestAge };
}

function dangerPanels() {
  const untilFull = stat({
    id: 14,
    title: 'Until full',
    description:
      'Time until the log is full at the present rate if nothing more were delivered: how long ' +
      'an outage may last from now on. Below a day, plan more capacity; below an hour, act. ' +
      '"not filling" is good, if the panels beside it have data.',
    unit: Seconds,
    queries: [{ expr: gauge('holdfast_log_seconds_until_full'), legend: '{{hub}}' }],
  })
    .decimals(1)
    .noValue('not filling')
    .thresholds(thresholds('red', [3_600, 'orange'], [86_400, 'green']));
  const lost = stat({
    id: 15,
    title: 'Events lost',
    description:
      'Events that were accepted and then given up, over the time shown. Must be 0. Otherwise ' +
      '"Lost by reason" below says why: full (more capacity), corrupt (check the card), poison ' +
      '(dead letters).',
    unit: Short,
    queries: [
      {
        expr: orZero(increase('holdfast_lost_events_total', [], '$__range'), 'holdfast_build_info'),
        legend: '{{hub}}',
      },
    ],
  })
    .decimals(0)
    .thresholds(thresholds('green', [0.5, 'red'])); // half an event: increase() extrapolates
  const sinksDown = stat({
    id: 16,
    title: 'Sinks down',
    description:
      'Sinks that should deliver and cannot. Events are kept meanwhile. The console names the ' +
      'last error; a halted sink was refused by the far side, usually for its credentials.',
    unit: Short,
    queries: [
      { expr: gaugeSum('holdfast_sink_link', [], { state: SINK_DOWN_STATES }), legend: '{{hub}}' },
    ],
  })
    .decimals(0)
    .noValue('no sinks')
    .thresholds(thresholds('green', [1, 'red']));
  return { untilFull, lost, sinksDown };
}

/** Whether the promise is kept: what was acknowledged is stored, and reaches the far sides. */
export function promiseRow(): readonly Sized[] {
  const { eventsIn, logFilled, oldestAge } = storedPanels();
  const { untilFull, lost, sinksDown } = dangerPanels();
  return [eventsIn, logFilled, oldestAge, untilFull, lost, sinksDown].map((panel) => ({
    panel,
    ...size,
  }));
}
