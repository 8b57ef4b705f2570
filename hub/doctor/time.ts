import { join } from 'node:path';
import type { ClockSync } from '../core/clock.ts';
import type { Finding } from '../core/finding.ts';
import { namesIn, readFact, readNumber } from '../machine/read-fact.ts';
import type { MachineRoots } from '../machine/roots.ts';
import type { Examination } from './examination.ts';

/** Differences of a battery clock that its own drift does not explain. */
const RTC_OFF_SECONDS = 300;
const SYNCHRONISE =
  'sudo timedatectl set-ntp true; without a network a battery clock (RTC) keeps the time: ' +
  'a DS3231 with dtoverlay=i2c-rtc,ds3231, or the battery of a Pi 5';

export interface TimeSources {
  readonly roots: MachineRoots;
  /** Asks whoever synchronises the clock; settles when aborted. */
  sync(signal: AbortSignal): Promise<ClockSync>;
  nowMs(): number;
  /** When this program was built: it cannot be earlier now. */
  readonly builtMs: number;
}

/** Whether the times that events get are right. The time zone does not matter: they are in UTC. */
export function time(sources: TimeSources): Examination {
  return {
    subject: 'clock',
    async examine(signal) {
      const sync = await sources.sync(signal);
      const rtc = await batteryClock(sources.roots);
      const findings = [judge(sync, rtc, sources)];
      const lost = rtc && batteryFinding(rtc, sync, sources);
      return lost ? [...findings, lost] : findings;
    },
  };
}

interface BatteryClock {
  readonly name: string;
  /** Undefined when it cannot be read. */
  readonly seconds: number | undefined;
}

async function batteryClock({ sys }: MachineRoots): Promise<BatteryClock | undefined> {
  const folder = join(sys, 'class', 'rtc');
  const [device] = await namesIn(folder);
  if (device === undefined) return undefined;
  const name = ((await readFact(folder, device, 'name')) ?? device).split(' ')[0] ?? device;
  return { name, seconds: await readNumber(folder, device, 'since_epoch') };
}

function judge(
  sync: ClockSync,
  rtc: BatteryClock | undefined,
  { nowMs, builtMs }: TimeSources,
): Finding {
  const subject = 'clock';
  if (nowMs() < builtMs) {
    const now = new Date(nowMs()).toISOString().slice(0, 16);
    const detail = `the clock is wrong: ${now} is before this program was made`;
    const remedy = `${SYNCHRONISE}. Until then TLS refuses certificates, and sinks with https too`;
    return { severity: 'problem', subject, detail, remedy };
  }
  const source = sync.source ?? 'the kernel';
  const kept = rtc ? `a battery clock (${rtc.name}) keeps it` : 'there is no battery clock';
  switch (sync.state) {
    case 'synced':
      return { severity: 'ok', subject, detail: `synchronised by ${source}; ${kept}` };
    case 'unsynced': {
      const detail = `not synchronised (${source}); ${kept}`;
      return { severity: 'warning', subject, detail, remedy: SYNCHRONISE };
    }
    case 'unknown': {
      const detail = `nothing tells whether it is synchronised; ${kept}`;
      return { severity: 'unknown', subject, detail };
    }
  }
}

function batteryFinding(
  { name, seconds }: BatteryClock,
  sync: ClockSync,
  { nowMs, builtMs }: TimeSources,
): Finding | undefined {
  if (seconds === undefined) return undefined;
  const subject = 'battery clock';
  if (seconds * 1000 < builtMs && nowMs() >= builtMs) {
    const detail = `${name} has lost the time: its battery is empty or missing`;
    return { severity: 'warning', subject, detail, remedy: 'change the battery' };
  }
  const offSeconds = Math.round(seconds - nowMs() / 1000);
  if (sync.state !== 'synced' || Math.abs(offSeconds) < RTC_OFF_SECONDS) return undefined;
  const detail = `${name} is off by ${Math.abs(offSeconds)} s`;
  const remedy = 'sudo hwclock --systohc sets it from the system';
  return { severity: 'warning', subject, detail, remedy };
}
