import { NoUnit, Short } from '@grafana/grafana-foundation-sdk/units';
import { type Sized, stateTimeline, thresholds, timeseries } from '../panels.ts';
import { gauge, increase, orZero } from '../promql.ts';
import { BRIDGE_LOOKS, BRIDGE_STATES, DEGRADED_MORE, stateNumber, stateWords } from '../states.ts';

/** Where events come from, and what was turned away. */
export function inputsRow(): readonly Sized[] {
  const clients = timeseries({
    id: 51,
    title: 'MQTT clients',
    description:
      'Connected clients. A comb of drops is a weak network, or two devices that share one ' +
      'client id and throw each other out: give each its own.',
    unit: Short,
    queries: [{ expr: gauge('holdfast_mqtt_clients'), legend: '{{hub}}' }],
  }).min(0);
  const refused = timeseries({
    id: 52,
    title: 'Refused and undecoded',
    description:
      'Refused connections, publishes and subscriptions by reason: check the account, the ACL ' +
      'and the limits. Undecoded events are kept and forwarded raw, but give no readings: the ' +
      'hub logs which topic; correct its rule under `decode`. Bad frames of a bridge: checksum ' +
      'and framing are noise or a wrong speed, format is another firmware than expected.',
    unit: Short,
    queries: [
      {
        expr: orZero(increase('holdfast_mqtt_refused_total', ['reason']), 'holdfast_mqtt_clients'),
        legend: '{{hub}} refused {{reason}}',
      },
      {
        expr: orZero(
          increase('holdfast_undecoded_events_total', ['reason']),
          'holdfast_mqtt_clients',
        ),
        legend: '{{hub}} undecoded {{reason}}',
      },
      {
        expr: increase('holdfast_bridge_bad_frames_total', ['bridge', 'reason']),
        legend: '{{hub}} {{bridge}} {{reason}}',
      },
    ],
  }).min(0);
  const bridges = stateTimeline({
    id: 53,
    title: 'Bridges',
    description:
      'reading is healthy. degraded: it is read, but a device of it is silent, or something else is ' +
      'wrong that the console and `status` name. connecting and backoff in turn: the hardware is ' +
      'not there or not ours; `holdfast doctor` says what to do. Empty without bridges.',
    unit: NoUnit,
    queries: [
      {
        expr: `${stateNumber(
          (state) => gauge('holdfast_bridge_link', ['bridge', 'state'], { state }),
          'bridge',
          BRIDGE_STATES,
        )} + ${DEGRADED_MORE} * ${gauge('holdfast_bridge_degraded', ['bridge'])}`,
        legend: '{{hub}} {{bridge}}',
      },
    ],
  })
    .mappings(stateWords(BRIDGE_LOOKS))
    .thresholds(thresholds('text'))
    .noValue('no bridges');
  const spans = timeseries({
    id: 54,
    title: 'Spans of traces',
    description:
      'Spans of sampled events that the collector has taken. Dropped ones: it was away for too ' +
      'long, or refuses them; the hub logs why. Events are never held up by it. Empty without ' +
      '`tracing.otlp`.',
    unit: Short,
    queries: [
      { expr: increase('holdfast_spans_exported_total'), legend: '{{hub}} exported' },
      { expr: increase('holdfast_spans_dropped_total'), legend: '{{hub}} dropped' },
    ],
  }).min(0);
  return [clients, refused, bridges, spans].map((panel) => ({ panel, columns: 8, rows: 7 }));
}
