import type { Status } from '../../../hub/core/status.ts';
import { formatAge, formatDuration } from '../format.ts';
import { connection, hubMs, staleMs, status } from '../store.ts';
import { Mark } from './icons.tsx';
import { Pill } from './pill.tsx';

function LivePill() {
  if (staleMs.value > 0) return <Pill tone="bad">Stale, {formatAge(staleMs.value)}</Pill>;
  switch (connection.value.kind) {
    case 'live':
      return (
        <span class="pill live">
          <span class="pulse" />
          Live
        </span>
      );
    case 'connecting':
      return <Pill tone="busy">Connecting</Pill>;
    case 'lost':
      return <Pill tone="bad">Not connected</Pill>;
    case 'locked':
      return <Pill tone="warn">Locked</Pill>;
  }
}

function ReadyPill({ hub }: { hub: Status['hub'] }) {
  if (!hub.ready) return <Pill tone="bad">Not ready</Pill>;
  const count = hub.problems.length;
  if (count === 0) return <Pill tone="good">Ready</Pill>;
  return (
    <Pill tone="warn" title={hub.problems.join('\n')}>
      {count === 1 ? '1 problem' : `${count} problems`}
    </Pill>
  );
}

const CLOCK = {
  synced: ['good', 'Clock synced', 'Something keeps the clock of the hub synchronised.'],
  unsynced: [
    'warn',
    'Clock not synced',
    'Times are provisional until the clock of the hub is synchronised; then they are corrected.',
  ],
  unknown: ['idle', 'Clock not checked', 'Nothing on the hub tells whether its clock is right.'],
} as const;

function ClockPill({ clock }: Pick<Status, 'clock'>) {
  const [tone, text, title] = CLOCK[clock.state];
  const why = clock.waiting ? `${title} Sinks wait for that.` : title;
  return (
    <Pill tone={tone} title={clock.source ? `${why} (${clock.source})` : why}>
      {text}
    </Pill>
  );
}

function HubFacts({ status: { hub, clock } }: { status: Status }) {
  return (
    <>
      <div class="hub">
        <strong class="hub-id">{hub.id}</strong>
        <span class="hub-facts">
          v{hub.version} · up {formatDuration(hubMs.value - hub.startedMs)}
        </span>
      </div>
      <div class="header-pills">
        <ReadyPill hub={hub} />
        <ClockPill clock={clock} />
        <LivePill />
      </div>
    </>
  );
}

export function Header() {
  return (
    <header class="top">
      <div class="top-inner">
        <div class="brand">
          <Mark />
          <h1>Holdfast</h1>
        </div>
        {status.value ? (
          <HubFacts status={status.value} />
        ) : (
          <div class="header-pills">
            <LivePill />
          </div>
        )}
      </div>
    </header>
  );
}
