import type { Message } from '../../hub/core/event.ts';
import { type DeviceModel, MODELS } from './profiles.ts';
import type { SimulatedDevice, SimulatorOptions } from './spec.ts';

type SiteMessage = Omit<Message, 'source'>;

/** Long enough to be seen in a chart, short enough to see it end. */
const ALARM_MS = 60_000;

interface DeviceState {
  readonly topic: string;
  readonly model: DeviceModel;
  /** Rounds until the present alarm ends; 0: no alarm. */
  alarmRounds: number;
}

/**
 * The devices of one bridge. All chance comes from `random`, all time from the argument of `round`.
 */
export class SimulatedSite {
  readonly #devices: readonly DeviceState[];
  readonly #random: () => number;
  readonly #dropShare: number;
  readonly #alarmProbability: number;
  readonly #alarmRounds: number;

  constructor(options: SimulatorOptions, random: () => number) {
    this.#random = random;
    this.#dropShare = options.drop_share;
    this.#alarmProbability = Math.min(1, options.interval_ms / options.alarm_interval);
    this.#alarmRounds = Math.max(1, Math.round(ALARM_MS / options.interval_ms));
    this.#devices = options.devices.map((device) => this.#start(device, options.topic_prefix));
  }

  #start({ name, area, profile }: SimulatedDevice, prefix: string): DeviceState {
    const model = MODELS[profile](this.#random(), this.#random);
    return { topic: `${prefix}/${area}/${name}`, model, alarmRounds: 0 };
  }

  /** What all devices publish at `timeMs` (ms since 1970). Dropped readings are missing. */
  round(timeMs: number): SiteMessage[] {
    return this.#devices.flatMap((device) => this.#roundOf(device, timeMs));
  }

  #roundOf(device: DeviceState, timeMs: number): SiteMessage[] {
    const before = device.alarmRounds > 0;
    if (before) device.alarmRounds -= 1;
    else if (this.#random() < this.#alarmProbability) device.alarmRounds = this.#alarmRounds;
    const alarming = device.alarmRounds > 0;

    const measurements = device.model.measure(timeMs, alarming);
    const messages = measurements
      .filter(() => this.#random() >= this.#dropShare)
      .map(({ metric, value, unit }) => message(device, metric, { t: timeMs, v: value, u: unit }));
    if (alarming !== before) {
      const text = alarming ? device.model.alarmText(measurements) : 'Back to normal';
      messages.push(message(device, 'alarm', { t: timeMs, v: alarming, message: text }));
    }
    return messages;
  }
}

function message(device: DeviceState, metric: string, data: object): SiteMessage {
  return { topic: `${device.topic}/${metric}`, payload: Buffer.from(JSON.stringify(data)) };
}
