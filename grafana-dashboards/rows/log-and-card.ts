import { MappingType } from '@grafana/grafana-foundation-sdk/dashboard';
import {
  BytesIEC,
  BytesPerSecondIEC,
  CountsPerSecond,
  NoUnit,
  Seconds,
  Short,
} from '@grafana/grafana-foundation-sdk/units';
import { type Sized, stateTimeline, thresholds, timeseries } from '../panels.ts';
import { gauge, increase, orZero, quantile, rate } from '../promql.ts';

function commitPanels() {
  const latency = timeseries({
    id: 41,
    title: 'Commit latency',
    description:
      'Time from the start of a group commit until it is on stable storage; a publisher waits ' +
      'that long for its acknowledgement. A p99 of seconds is a card in trouble: move the data ' +
      'directory to an SSD or a new card.',
    unit: Seconds,
    queries: [
      { expr: quantile(0.5, 'holdfast_log_commit_seconds'), legend: '{{hub}} p50' },
      {
        expr: quantile(0.99, 'holdfast_log_commit_seconds'),
        legend: '{{hub}} p99',
        exemplars: true,
      },
    ],
  }).min(0);
  const commits = timeseries({
    id: 42,
    title: 'Commits per second',
    description:
      'Each commit is one fsync and wears the card. Hundreds per second with few events each: ' +
      'choose the commit profile `card`, which gathers longer.',
    unit: CountsPerSecond,
    queries: [{ expr: rate('holdfast_log_commits_total'), legend: '{{hub}}' }],
  }).min(0);
  const lost = timeseries({
    id: 43,
    title: 'Lost by reason',
    description:
      'Events accepted and then given up. Must stay 0. full: more capacity, or when_full: ' +
      'block; corrupt: check the card; poison: see the dead letters. Thinned ones are not lost: ' +
      'they are kept as aggregates, because an outage is longer than the capacity.',
    unit: Short,
    queries: [
      {
        expr: orZero(
          increase('holdfast_lost_events_total', ['reason', 'lane']),
          'holdfast_build_info',
        ),
        legend: '{{hub}} {{reason}} {{lane}}',
      },
      {
        expr: increase('holdfast_log_thinned_events_total', ['lane']),
        legend: '{{hub}} thinned {{lane}}',
      },
    ],
  }).min(0);
  return { latency, commits, lost };
}

function writePanels() {
  const written = timeseries({
    id: 44,
    title: 'Written to storage',
    description:
      'What the log hands to storage, next to the payload it accepts. Far more written than ' +
      'accepted: small commits; choose the commit profile `card`.',
    unit: BytesPerSecondIEC,
    queries: [
      { expr: rate('holdfast_log_written_bytes_total'), legend: '{{hub}} written' },
      { expr: rate('holdfast_ingest_bytes_total'), legend: '{{hub}} payload accepted' },
    ],
  }).min(0);
  const writtenPerEvent = timeseries({
    id: 45,
    title: 'Written per event',
    description:
      'Bytes written for each event accepted. It falls as more events share a commit. ' +
      'Thousands of bytes for small payloads wear a card out: choose the commit profile ' +
      '`card`.',
    unit: BytesIEC,
    queries: [
      {
        expr: [rate('holdfast_log_written_bytes_total'), rate('holdfast_ingest_events_total')].join(
          ' / ',
        ),
        legend: '{{hub}}',
      },
    ],
  }).min(0);
  const room = timeseries({
    id: 46,
    title: 'Room left',
    description:
      'Bytes until log.capacity.bytes_max, and free bytes on the volume. If the volume is the ' +
      'smaller one, the log will meet log.capacity.free_bytes_min first: free space, or lower ' +
      'bytes_max to what is really there.',
    unit: BytesIEC,
    queries: [
      {
        expr: `${gauge('holdfast_log_bytes_max')} - ${gauge('holdfast_log_bytes')}`,
        legend: '{{hub}} until the log is full',
      },
      { expr: gauge('holdfast_disk_free_bytes'), legend: '{{hub}} free on the volume' },
    ],
  }).min(0);
  return { written, writtenPerEvent, room };
}

function clockPanels() {
  const events = timeseries({
    id: 47,
    title: 'Events kept',
    description:
      'Events in the log, delivered ones within the retention included. A sudden drop without ' +
      'a change of the configuration: see "Lost by reason".',
    unit: Short,
    queries: [{ expr: gauge('holdfast_log_events'), legend: '{{hub}}' }],
  }).min(0);
  const conditions = stateTimeline({
    id: 48,
    title: 'Clock and publishers',
    description:
      'Clock not synced: times are provisional and corrected later; check that the Pi reaches ' +
      'a time server (`timedatectl`). Publishers waiting: the log is full; bring a sink back ' +
      'or give it more room.',
    unit: NoUnit,
    queries: [
      // Green is 1: so that it reads the same way, publishers count as 1 while they need not wait.
      { expr: gauge('holdfast_clock_synced'), legend: '{{hub}} clock synced' },
      { expr: `1 - ${gauge('holdfast_log_blocked')}`, legend: '{{hub}} publishers accepted' },
    ],
  })
    .thresholds(thresholds('red', [1, 'green']))
    .mappings([
      {
        type: MappingType.ValueToText,
        options: { '0': { text: 'no', color: 'red' }, '1': { text: 'yes', color: 'green' } },
      },
    ]);
  const offset = timeseries({
    id: 49,
    title: 'Clock moved',
    description:
      'How far the wall clock moved against the monotonic clock since the hub started. One ' +
      'step after a start without network is normal. Repeated steps: two time services fight; ' +
      'keep one.',
    unit: Seconds,
    queries: [{ expr: gauge('holdfast_clock_offset_seconds'), legend: '{{hub}}' }],
  });
  return { events, conditions, offset };
}

/** What durability costs, and how much of it the card has left. */
export function logAndCardRow(): readonly Sized[] {
  const { latency, commits, lost } = commitPanels();
  const { written, writtenPerEvent, room } = writePanels();
  const { events, conditions, offset } = clockPanels();
  return [latency, commits, lost, written, writtenPerEvent, room, events, conditions, offset].map(
    (panel) => ({ panel, columns: 8, rows: 7 }),
  );
}
