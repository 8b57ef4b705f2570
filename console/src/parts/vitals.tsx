import type { ComponentChildren } from 'preact';
import type { LogStatus, Status, WhenFull } from '../../../hub/core/status.ts';
import {
  formatAge,
  formatBytes,
  formatCount,
  formatDuration,
  formatExact,
  formatRate,
  formatShare,
  NONE,
} from '../format.ts';
import type { Tone } from '../sink-view.ts';
import { eventRate, RATE_WINDOW_MS } from '../store.ts';
import { Chart } from './chart.tsx';
import { ToneIcon } from './icons.tsx';

interface TileProps {
  readonly name: string;
  readonly value: ComponentChildren;
  readonly unit?: string;
  readonly note: ComponentChildren;
  readonly tone?: Tone;
  readonly children?: ComponentChildren;
}

function Tile({ name, value, unit, note, tone, children }: TileProps) {
  return (
    <div class={`tile ${tone ?? ''}`}>
      <dt>{name}</dt>
      <dd>
        <p class="tile-value">
          {value}
          {unit && <span class="tile-unit"> {unit}</span>}
        </p>
        {children}
        <p class="tile-note">{note}</p>
      </dd>
    </div>
  );
}

const WHEN_FULL: Readonly<Record<WhenFull, string>> = {
  block: 'then publishers wait',
  drop_oldest: 'then the oldest events go',
  drop_newest: 'then new events are refused',
  thin: 'then the oldest are thinned out',
};

/** From here on somebody should look: a tenth is left. */
const NEARLY_FULL = 0.9;
const A_DAY_S = 86_400;

function fullTone(log: LogStatus): Tone | undefined {
  if (log.full) return 'bad';
  return log.secondsUntilFull !== null && log.secondsUntilFull < A_DAY_S ? 'warn' : undefined;
}

function LogTile({ log }: { log: LogStatus }) {
  const share = log.bytesMax > 0 ? log.bytes / log.bytesMax : 0;
  const tone = log.full ? 'bad' : share > NEARLY_FULL ? 'warn' : undefined;
  return (
    <Tile
      name="Log size"
      value={formatBytes(log.bytes)}
      note={`${formatShare(share)} of ${formatBytes(log.bytesMax)} · ${formatCount(log.events)} events`}
      {...(tone ? { tone } : {})}
    >
      <progress class="capacity" max={1} value={Math.min(1, share)} aria-label="Capacity used" />
    </Tile>
  );
}

function LostTile({ log }: { log: LogStatus }) {
  const nothing = log.lostEvents === 0;
  return (
    <Tile
      name="Lost events"
      tone={nothing ? 'good' : 'bad'}
      value={
        <>
          <ToneIcon tone={nothing ? 'good' : 'bad'} />
          {nothing ? 'Nothing lost' : formatExact(log.lostEvents)}
        </>
      }
      note={`of ${formatExact(log.acceptedEvents)} accepted`}
    />
  );
}

function durabilityText(log: LogStatus): string {
  return log.durability === 'fsync'
    ? 'on disk before it says thank you'
    : `a power cut may take ${formatDuration(log.lossWindowMs)}`;
}

function fullText(log: LogStatus): string {
  if (log.full) return 'Full';
  if (log.secondsUntilFull === null) return 'Not filling';
  return formatDuration(log.secondsUntilFull * 1000);
}

/**
 * The promise at a glance: what comes in, what is held and for how long, and that nothing is lost.
 */
export function Vitals({ status: { inputs, log } }: { status: Status }) {
  const tone = fullTone(log);
  return (
    <section aria-label="At a glance">
      <dl class="vitals">
        <Tile
          name="Events in"
          value={formatRate(inputs.eventsPerSecond)}
          unit="/s"
          note={durabilityText(log)}
        >
          <div class="tile-chart">
            <Chart
              series={eventRate}
              windowMs={RATE_WINDOW_MS}
              kind="spark"
              label="Events per second, last minutes"
              fit
              fromZero
            />
          </div>
        </Tile>
        <LogTile log={log} />
        <Tile
          name="Oldest event"
          value={log.oldestAgeMs === null ? NONE : formatAge(log.oldestAgeMs)}
          note={log.oldestAgeMs === null ? 'the log is empty' : 'kept for replay and history'}
        />
        <Tile
          name="Time until full"
          value={fullText(log)}
          note={
            log.full
              ? WHEN_FULL[log.whenFull.normal].replace('then ', '')
              : `with nothing delivered, ${WHEN_FULL[log.whenFull.normal]}`
          }
          {...(tone ? { tone } : {})}
        />
        <LostTile log={log} />
      </dl>
    </section>
  );
}
