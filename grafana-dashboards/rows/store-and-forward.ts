import {
  BytesPerSecondIEC,
  EventsPerSecond,
  NoUnit,
  PercentUnit,
  Seconds,
  Short,
} from '@grafana/grafana-foundation-sdk/units';
import { type Sized, stateTimeline, thresholds, timeseries } from '../panels.ts';
import { gauge, increase, orZero, quantile, rate } from '../promql.ts';
import { SINK_STATES, stateNumber, stateWords } from '../states.ts';

function lagPanels() {
  const linkState = stateTimeline({
    id: 31,
    title: 'Link of each sink',
    description:
      'reading and sending are healthy. connecting and backoff in turn: the far side does not ' +
      'answer; check network and address. halted: it refuses us; check the credentials. ' +
      'paused: someone paused it; resume it.',
    unit: NoUnit,
    queries: [
      {
        expr: stateNumber(
          (state) => gauge('holdfast_sink_link', ['sink', 'state'], { state }),
          'sink',
          SINK_STATES,
        ),
        legend: '{{hub}} {{sink}}',
      },
    ],
  })
    .mappings(stateWords(SINK_STATES))
    .thresholds(thresholds('text'));
  const lagEvents = timeseries({
    id: 32,
    title: 'Lag in events',
    description:
      'Events in the log that a sink has not settled. Growing: it takes less than comes in; ' +
      'compare "In and out". Flat above 0 with a healthy link: raise batch.events_max of the ' +
      'sink.',
    unit: Short,
    queries: [{ expr: gauge('holdfast_sink_lag_events', ['sink']), legend: '{{hub}} {{sink}}' }],
  }).min(0);
  const lagSeconds = timeseries({
    id: 33,
    title: 'Lag in time',
    description:
      'Age of the oldest event that a sink has not settled. A line that climbs one second per ' +
      'second is an outage. Events that a sink still needs stay until the log is full: compare ' +
      '"Until full".',
    unit: Seconds,
    queries: [{ expr: gauge('holdfast_sink_lag_seconds', ['sink']), legend: '{{hub}} {{sink}}' }],
  }).min(0);
  return { linkState, lagEvents, lagSeconds };
}

function flowPanels() {
  const inAndOut = timeseries({
    id: 34,
    title: 'In and out',
    description:
      'Events accepted, and events each sink delivered, passed over by its topics, or took again ' +
      'in a replay. After an outage "out" must be above "in" until the lag is gone; if it is ' +
      'not, the link or the far side is too slow: see the batch latency.',
    unit: EventsPerSecond,
    queries: [
      { expr: rate('holdfast_ingest_events_total'), legend: '{{hub}} in' },
      {
        expr: orZero(
          rate('holdfast_sink_delivered_events_total', ['sink']),
          'holdfast_sink_lag_events',
          ['sink'],
        ),
        legend: '{{hub}} {{sink}} out',
      },
      {
        expr: rate('holdfast_sink_filtered_events_total', ['sink']),
        legend: '{{hub}} {{sink}} passed over',
      },
      {
        expr: rate('holdfast_sink_replayed_events_total', ['sink']),
        legend: '{{hub}} {{sink}} replayed',
      },
    ],
  }).min(0);
  const batchLatency = timeseries({
    id: 35,
    title: 'Batch latency',
    description:
      'How long the far side took to answer a batch: half of them faster than p50, all but 1 % ' +
      'faster than p99. High p99 alone: a link that stalls. Both high: smaller batches, or a ' +
      'far side at its limit.',
    unit: Seconds,
    queries: [
      {
        expr: quantile(0.5, 'holdfast_sink_batch_seconds', ['sink']),
        legend: '{{hub}} {{sink}} p50',
      },
      {
        expr: quantile(0.99, 'holdfast_sink_batch_seconds', ['sink']),
        legend: '{{hub}} {{sink}} p99',
        exemplars: true,
      },
    ],
  }).min(0);
  const eta = timeseries({
    id: 36,
    title: 'Until drained',
    description:
      'Time until the backlog is gone at the present rate; no line while there is none or it ' +
      'is not draining. Falling by a second per second is normal. Rising: more comes in than ' +
      'goes out.',
    unit: Seconds,
    queries: [
      { expr: gauge('holdfast_sink_drain_eta_seconds', ['sink']), legend: '{{hub}} {{sink}}' },
    ],
  })
    .min(0)
    .noValue('nothing to drain');
  return { inAndOut, batchLatency, eta };
}

function troublePanels() {
  const retries = timeseries({
    id: 37,
    title: 'Retries',
    description:
      'Batches sent again after an error. A few are the price of a radio link. Steady retries ' +
      'with a healthy link: look at the sink in the console for the error it repeats.',
    unit: Short,
    queries: [
      {
        expr: orZero(
          increase('holdfast_sink_retries_total', ['sink']),
          'holdfast_sink_lag_events',
          ['sink'],
        ),
        legend: '{{hub}} {{sink}}',
      },
    ],
  }).min(0);
  const deadLetters = timeseries({
    id: 38,
    title: 'Dead letters',
    description:
      'Events the far side will not take. They are kept, and the log of the hub names the ' +
      'reason of each: correct the cause, at the device or at the far side.',
    unit: Short,
    queries: [{ expr: gauge('holdfast_sink_dead_letters', ['sink']), legend: '{{hub}} {{sink}}' }],
  }).min(0);
  const lostBySink = timeseries({
    id: 39,
    title: 'Lost before a sink had them',
    description:
      'Events that were given up before a sink had taken them. Must stay 0. full: the sink was ' +
      'away longer than the log has room for; give it more capacity. corrupt: check the card.',
    unit: Short,
    queries: [
      {
        expr: orZero(
          increase('holdfast_sink_lost_events_total', ['sink', 'reason']),
          'holdfast_sink_lag_events',
          ['sink'],
        ),
        legend: '{{hub}} {{sink}} {{reason}}',
      },
    ],
  }).min(0);
  return { retries, deadLetters, lostBySink };
}

function outagePanels() {
  const outages = timeseries({
    id: 71,
    title: 'Outages',
    description:
      'Outages that began: the far side could not be reached, did not answer, or refused ' +
      'everything. Interruptions less than 10 s apart are one. The console and /api/v1/outages ' +
      'say why, and what had gathered.',
    unit: Short,
    queries: [
      {
        expr: orZero(
          increase('holdfast_sink_outages_total', ['sink']),
          'holdfast_sink_lag_events',
          ['sink'],
        ),
        legend: '{{hub}} {{sink}}',
      },
    ],
  }).min(0);
  const timeDown = timeseries({
    id: 72,
    title: 'Time down',
    description:
      'The part of the time in which a far side took nothing. Nothing is lost by it while the ' +
      'log has room: compare "Until full".',
    unit: PercentUnit,
    queries: [
      {
        expr: orZero(
          rate('holdfast_sink_outage_seconds_total', ['sink']),
          'holdfast_sink_lag_events',
          ['sink'],
        ),
        legend: '{{hub}} {{sink}}',
      },
    ],
  })
    .min(0)
    .max(1);
  return { outages, timeDown };
}

function budgetPanels() {
  const used = timeseries({
    id: 74,
    title: 'Budget used',
    description:
      'What a sink has sent as a part of what it may in a day or a month, with the network it ' +
      'uses. At 100 % only exempt lanes go on; the rest waits in the log until the reset. Empty ' +
      'without `budget`.',
    unit: PercentUnit,
    queries: [
      {
        expr: gauge('holdfast_sink_budget_used_ratio', ['sink', 'period']),
        legend: '{{hub}} {{sink}} {{period}}',
      },
    ],
  }).min(0);
  const held = timeseries({
    id: 75,
    title: 'Held back by a budget',
    description:
      '1 while a budget holds something back: the day or the month is used up, the window is ' +
      'closed, or the rate is reached. It is as wanted; if the lag grows from day to day, the ' +
      'budget is too small for what comes in.',
    unit: NoUnit,
    queries: [
      {
        expr: gauge('holdfast_sink_held', ['sink', 'reason']),
        legend: '{{hub}} {{sink}} {{reason}}',
      },
    ],
  })
    .min(0)
    .max(1);
  const wire = timeseries({
    id: 76,
    title: 'Bytes on the wire',
    description:
      'What goes through the connections of a sink, in both directions, TLS included, headers of ' +
      'TCP and IP not. This is what a budget counts. Much more than "In and out" explains: the ' +
      'far side refuses or fails, see "Retries".',
    unit: BytesPerSecondIEC,
    queries: [
      { expr: rate('holdfast_sink_wire_bytes_total', ['sink']), legend: '{{hub}} {{sink}}' },
    ],
  }).min(0);
  return { used, held, wire };
}

/** What the far sides have taken, and what waits for them. */
export function storeAndForwardRow(): readonly Sized[] {
  const { linkState, lagEvents, lagSeconds } = lagPanels();
  const { inAndOut, batchLatency, eta } = flowPanels();
  const { retries, deadLetters, lostBySink } = troublePanels();
  const { outages, timeDown } = outagePanels();
  const { used, held, wire } = budgetPanels();
  const third = { columns: 8, rows: 7 };
  return [
    { panel: linkState, ...third },
    { panel: lagEvents, ...third },
    { panel: lagSeconds, ...third },
    { panel: inAndOut, ...third },
    { panel: batchLatency, ...third },
    { panel: eta, ...third },
    { panel: retries, ...third },
    { panel: deadLetters, ...third },
    { panel: lostBySink, ...third },
    { panel: outages, ...third },
    { panel: timeDown, ...third },
    { panel: wire, ...third },
    { panel: used, ...third },
    { panel: held, ...third },
  ];
}
