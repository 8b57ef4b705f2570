/** Puts together what `holdfast doctor` looks at: the machine, and what is configured. */

import { statSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { BridgeConfig, HubConfig } from '../config/schema.ts';
import { BRIDGES } from '../firmware-bridge/registry.ts';
import { SINKS } from '../sinks/registry.ts';
import { watchedClock } from './clock/watched-clock.ts';
import type { BridgeSpec } from './core/bridge.ts';
import type { ClockSync } from './core/clock.ts';
import { describeError } from './core/errors.ts';
import type { Finding } from './core/finding.ts';
import type { SinkSpec } from './core/sink.ts';
import { dataDirectory } from './doctor/data-dir.ts';
import { disk } from './doctor/disk.ts';
import { type Examination, runExaminations } from './doctor/examination.ts';
import { type FarSide, farSides } from './doctor/far-sides.ts';
import { fileLimit } from './doctor/file-limit.ts';
import { devices, sensors } from './doctor/hardware.ts';
import { memory } from './doctor/memory.ts';
import { port, type WantedPort } from './doctor/ports.ts';
import { power } from './doctor/power.ts';
import { findRunningHub, type RunningHub } from './doctor/running-hub.ts';
import { machine, runtime, whoAmI } from './doctor/software.ts';
import { temperature } from './doctor/temperature.ts';
import { time } from './doctor/time.ts';
import { runningHub } from './log/inspection/running-hub.ts';
import { errorCodeOf } from './machine/error-code.ts';
import { namesIn } from './machine/read-fact.ts';
import { MACHINE, type MachineRoots } from './machine/roots.ts';
import { type MachineUser, thisUser } from './machine/user.ts';

/** No hub is older: a clock that says so has not been set. */
const FIRST_HUB_MS = Date.UTC(2026, 0, 1);

/**
 * Looks at everything, side by side, in some seconds at most. `config` is undefined when it cannot
 * be loaded: then what it would name is left out.
 */
export async function examineMachine(
  config: HubConfig | undefined,
  roots: MachineRoots = MACHINE,
): Promise<readonly Finding[]> {
  const user = await thisUser(roots);
  const hub = config ? hubOf(config, roots) : async () => undefined;
  return await runExaminations([
    ...ofMachine(roots, user, hub),
    ...(config ? ofConfig(config, { roots, user, hub }) : []),
  ]);
}

function ofMachine(roots: MachineRoots, user: MachineUser, hub: RunningHub): Examination[] {
  return [
    time({ roots, sync: askClock, nowMs: () => Date.now(), builtMs: builtMs() }),
    power(roots),
    temperature(roots),
    memory(roots, async () => (await hub()) !== undefined),
    machine(roots),
    runtime(() => import('./log/storage/leveldb/database.ts')),
    whoAmI(user, roots),
    devices('serial', roots, user),
    devices('gpio', roots, user),
    gpioBackend(roots),
    devices('i2c', roots, user),
    sensors(roots),
  ];
}

/** Which way to the lines a bridge without `backend` takes; nothing where there are no lines. */
function gpioBackend({ dev }: MachineRoots): Examination {
  const subject = 'gpio backend';
  return {
    subject,
    async examine() {
      if (!(await namesIn(dev)).some((name) => /^gpiochip\d+$/.test(name))) return [];
      const { chooseBackend } = await import('../firmware-bridge/gpio/open-backend.ts');
      const { MACHINE: surroundings } = await import('../firmware-bridge/gpio/gpio.ts');
      try {
        const { kind, reason } = await chooseBackend('auto', surroundings);
        return [{ severity: 'ok', subject, detail: `gpio bridges use ${kind}: ${reason}` }];
      } catch (error) {
        const remedy = 'nothing, unless you want a gpio bridge';
        return [{ severity: 'note', subject, detail: describeError(error), remedy }];
      }
    },
  };
}

interface Surroundings {
  readonly roots: MachineRoots;
  readonly user: MachineUser;
  readonly hub: RunningHub;
}

function ofConfig(config: HubConfig, surroundings: Surroundings): Examination[] {
  const { roots } = surroundings;
  const dataDir = config.hub.data_dir;
  const { bytes_max: bytesMax, free_bytes_min: freeBytesMin } = config.log.capacity;
  return [
    dataDirectory({ dataDir, ...surroundings }),
    disk({ dataDir, bytesMax, freeBytesMin, roots }),
    ...wantedPorts(config).map((wanted) => port(wanted, surroundings)),
    fileLimit(roots, config.mqtt.limits.clients_max),
    ...config.bridges.map(bridge),
    ...farSides(farSidesOf(config)),
  ];
}

function wantedPorts({ mqtt, http }: HubConfig): WantedPort[] {
  const listeners = mqtt.listeners.map(({ host, port: number }) => {
    return { key: 'mqtt.listeners', host, port: number };
  });
  return [...listeners, { key: 'http', host: http.host, port: http.port }];
}

function farSidesOf({ sinks }: HubConfig): FarSide[] {
  return sinks.flatMap((sink) => {
    const spec = SINKS.find(({ type }) => type === sink.type) as SinkSpec | undefined;
    const host = spec?.host?.(sink); // its options were validated with its own schema
    return host === undefined ? [] : [{ id: sink.id, type: sink.type, host }];
  });
}

/** Kinds that have nothing to examine are fine: what they need is in the hub. */
function bridge(config: BridgeConfig): Examination {
  const subject = `bridge ${config.id}`;
  const spec = BRIDGES.find(({ type }) => type === config.type) as BridgeSpec | undefined;
  return {
    subject,
    async examine(signal) {
      const found = (await spec?.examine?.(config, signal)) ?? []; // validated with its own schema
      if (found.length > 0) return found.map((finding) => ofBridge(subject, finding));
      return [{ severity: 'ok', subject, detail: `${config.type} needs nothing of this machine` }];
    },
  };
}

/** People know their bridges by id; the device is in the sentence. */
function ofBridge(subject: string, finding: Finding): Finding {
  const isNamed = finding.detail.includes(finding.subject);
  const detail = isNamed ? finding.detail : `${finding.subject}: ${finding.detail}`;
  return { ...finding, subject, detail };
}

async function askClock(signal: AbortSignal): Promise<ClockSync> {
  const { clock, watch } = watchedClock();
  signal.addEventListener('abort', () => void watch.stop(), { once: true });
  try {
    await watch.start();
    return clock.sync();
  } finally {
    await watch.stop();
  }
}

function builtMs(): number {
  return Math.max(FIRST_HUB_MS, statSync(import.meta.filename).mtimeMs);
}

function hubOf({ hub: { data_dir: dataDir } }: HubConfig, roots: MachineRoots): RunningHub {
  const maySee = () =>
    access(join(dataDir, 'log', 'LOCK')).then(
      () => true,
      (error) => errorCodeOf(error) !== 'EACCES',
    );
  return findRunningHub(() => runningHub(dataDir), maySee, roots);
}
