import type { SinkStatus } from '../../../hub/core/status.ts';
import {
  formatAge,
  formatCount,
  formatDuration,
  formatExact,
  formatRate,
  formatShare,
  NONE,
} from '../format.ts';
import { sinkView, type Tone } from '../sink-view.ts';
import { Budget } from './budget.tsx';
import { DeadLetters } from './dead-letters.tsx';
import { OutageHistory } from './outages.tsx';
import { Pill } from './pill.tsx';
import { SinkControls } from './sink-controls.tsx';

interface FactProps {
  readonly name: string;
  readonly value: string;
  readonly unit?: string;
  readonly tone?: Tone;
}

function Fact({ name, value, unit, tone }: FactProps) {
  return (
    <div class={`fact ${tone ?? ''}`}>
      <dt>{name}</dt>
      <dd>
        {value}
        {unit && <span class="fact-unit"> {unit}</span>}
      </dd>
    </div>
  );
}

/** A link that is down has no ETA: it says what it waits for instead of a dash. */
function etaText(sink: SinkStatus): string {
  if (sink.etaSeconds !== null) return formatDuration(sink.etaSeconds * 1000);
  if (sinkView(sink, 0).tone === 'good') return 'up to date';
  return sink.state === 'backoff' || sink.state === 'connecting' ? 'waiting' : NONE;
}

/** What is sent again beside the live events: one line, while there is something. */
function ReplayLine({ replay: { running, queued } }: Pick<SinkStatus, 'replay'>) {
  if (!running) return null;
  const { doneEvents, totalEvents, etaSeconds } = running;
  const left = etaSeconds === null ? '' : `, ${formatDuration(etaSeconds * 1000)} left`;
  const more = queued > 0 ? `, ${formatExact(queued)} more wait` : '';
  return (
    <p class="sink-replay">
      <progress
        max={Math.max(1, totalEvents)}
        value={doneEvents}
        aria-label={`Replay ${running.id}`}
      />
      <span>
        Replay {formatShare(totalEvents > 0 ? doneEvents / totalEvents : 1)} of{' '}
        {formatCount(totalEvents)} events{left}
        {more}
      </span>
    </p>
  );
}

export function SinkCard({ sink, nowMs }: { sink: SinkStatus; nowMs: number }) {
  const { tone, headline } = sinkView(sink, nowMs);
  const behind = tone === 'good' ? {} : { tone };
  return (
    <li class={`node sink ${tone}`} data-sink={sink.id}>
      <div class="node-head">
        <strong>{sink.id}</strong>
        <span class="node-kind">{sink.type}</span>
        <Pill tone={tone}>{sink.state}</Pill>
      </div>
      <p class="sink-headline">{headline}</p>
      {sink.detail !== undefined && tone !== 'good' && (
        <p class="sink-detail" title={sink.detail}>
          {sink.detail}
        </p>
      )}
      <dl class="facts">
        <Fact name="Lag" value={formatCount(sink.lagEvents)} unit="events" {...behind} />
        <Fact
          name="Oldest"
          value={sink.lagEvents === 0 ? NONE : formatAge(sink.lagMs)}
          {...behind}
        />
        <Fact name="Rate" value={formatRate(sink.eventsPerSecond)} unit="/s" />
        <Fact name="ETA" value={etaText(sink)} {...behind} />
        <Fact name="Delivered" value={formatCount(sink.deliveredEvents)} />
        {sink.deadLetters > 0 && (
          <Fact name="Dead letters" value={formatExact(sink.deadLetters)} tone="warn" />
        )}
        {sink.lostEvents > 0 && (
          <Fact name="Lost" value={formatExact(sink.lostEvents)} tone="bad" />
        )}
      </dl>
      <DeadLetters sink={sink} />
      {sink.governor && <Budget governor={sink.governor} nowMs={nowMs} />}
      <ReplayLine replay={sink.replay} />
      <OutageHistory sink={sink} nowMs={nowMs} />
      <SinkControls sink={sink} />
    </li>
  );
}
