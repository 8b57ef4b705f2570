import { formatDuration } from '../format.ts';
import { connection, heardMs, hubMs, localMs, staleMs, status } from '../store.ts';
import { ToneIcon } from './icons.tsx';

const clockTime = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

function retryText(): string {
  const link = connection.value;
  if (link.kind === 'connecting') return 'Connecting…';
  if (link.kind !== 'lost') return 'The connection is open, but nothing arrives.';
  const waitMs = link.retryAtMs - localMs.value;
  return `${link.reason} ${waitMs > 1_000 ? `Trying again in ${formatDuration(waitMs)}.` : 'Trying again…'}`;
}

function Stale() {
  const atMs = hubMs.value - staleMs.value;
  return (
    <div class="notice bad sticky">
      <span class="unseen" role="alert">
        The connection to the hub is lost; this page is out of date.
      </span>
      <ToneIcon tone="bad" />
      <p>
        <strong>This page is {formatDuration(staleMs.value)} old.</strong> It shows what was true at{' '}
        {clockTime.format(atMs)}. {retryText()}
      </p>
    </div>
  );
}

/** What is in the way of trusting the page, and what the hub complains about. */
export function Notice() {
  if (staleMs.value > 0) return <Stale />;
  const hub = status.value?.hub;
  if (!hub) {
    const lost = connection.value.kind === 'lost' && heardMs.value === undefined;
    return (
      <div class={`notice ${lost ? 'bad' : 'busy'} alone`} role="status">
        <ToneIcon tone={lost ? 'bad' : 'busy'} />
        <p>{retryText()}</p>
      </div>
    );
  }
  if (hub.problems.length === 0) return null;
  const tone = hub.ready ? 'warn' : 'bad';
  return (
    <div class={`notice ${tone}`} role="status">
      <ToneIcon tone={tone} />
      <ul>
        {hub.problems.map((problem) => (
          <li key={problem}>{problem}</li>
        ))}
      </ul>
    </div>
  );
}
