import { cycle, dayCurve, driftingNoise, sunCurve } from './curves.ts';
import type { Profile } from './spec.ts';

export interface Measurement {
  readonly metric: string;
  readonly value: number | string;
  readonly unit?: string;
}

/**
 * A device with its noise. `alarming`: the fault of `alarmText` is present and shows in the values.
 */
export interface DeviceModel {
  measure(timeMs: number, alarming: boolean): readonly Measurement[];
  /** What the alarm says, with the measured values that show it. */
  alarmText(measurements: readonly Measurement[]): string;
}

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

function rounded(value: number, decimals: number): number {
  return Number(value.toFixed(decimals));
}

function measured(measurements: readonly Measurement[], metric: string): string {
  return String(measurements.find((m) => m.metric === metric)?.value ?? '');
}

/** Soil dries for most of the period; watering takes the last 3 % of it. */
const WATERING_SHARE = 0.03;

function soilMoisture(position: number): number {
  const drying = 1 - WATERING_SHARE;
  if (position < drying) return 42 - 18 * (position / drying);
  return 24 + 18 * ((position - drying) / WATERING_SHARE);
}

function greenhouse(phase: number, random: () => number): DeviceModel {
  const temperatureNoise = driftingNoise(1, random);
  const humidityNoise = driftingNoise(3, random);
  const moistureNoise = driftingNoise(0.4, random);
  return {
    measure(timeMs, alarming) {
      const heat = alarming ? 12 : 0;
      const temperature = 21 + phase + 5 * dayCurve(timeMs, 14) + temperatureNoise() + heat;
      const humidity = 72 - 2.4 * (temperature - 21) + humidityNoise();
      const moisture = soilMoisture(cycle(timeMs, 8 * HOUR_MS, phase)) + moistureNoise();
      return [
        { metric: 'temperature', value: rounded(temperature, 2), unit: 'C' },
        { metric: 'humidity', value: rounded(Math.max(20, Math.min(99, humidity)), 1), unit: '%' },
        { metric: 'soil_moisture', value: rounded(moisture, 1), unit: '%' },
      ];
    },
    alarmText: (list) => `Vent stuck: it is ${measured(list, 'temperature')} °C`,
  };
}

function outdoor(phase: number, random: () => number): DeviceModel {
  const temperatureNoise = driftingNoise(1.5, random);
  const cloudNoise = driftingNoise(0.3, random);
  const pressureNoise = driftingNoise(0.5, random);
  return {
    measure(timeMs, alarming) {
      const temperature = 11 + phase + 7 * dayCurve(timeMs, 15) + temperatureNoise();
      const light = 70_000 * sunCurve(timeMs, 6, 20) ** 1.3 * (0.7 + cloudNoise());
      const weather = 8 * Math.sin(2 * Math.PI * cycle(timeMs, 60 * HOUR_MS, phase));
      const pressure = 1013 + weather + pressureNoise() - (alarming ? 22 : 0);
      return [
        { metric: 'temperature', value: rounded(temperature, 2), unit: 'C' },
        { metric: 'light', value: rounded(light, 0), unit: 'lx' },
        { metric: 'pressure', value: rounded(pressure, 1), unit: 'hPa' },
      ];
    },
    alarmText: (list) => `Storm front: the pressure fell to ${measured(list, 'pressure')} hPa`,
  };
}

function machine(phase: number, random: () => number): DeviceModel {
  const powerNoise = driftingNoise(25, random);
  const vibrationNoise = driftingNoise(0.4, random);
  return {
    measure(timeMs, alarming) {
      const running = alarming || cycle(timeMs, 15 * MINUTE_MS, phase) < 2 / 3;
      const power = (running ? 740 + powerNoise() : 4) + (alarming ? 180 : 0);
      const vibration = (running ? 2.6 + vibrationNoise() : 0.1) + (alarming ? 6 : 0);
      return [
        { metric: 'power', value: rounded(power, 1), unit: 'W' },
        { metric: 'vibration', value: rounded(vibration, 2), unit: 'mm/s' },
        { metric: 'state', value: running ? 'running' : 'idle' },
      ];
    },
    alarmText: (list) => `Bearing worn: it shakes at ${measured(list, 'vibration')} mm/s`,
  };
}

/** `phase` in [0, 1) sets devices of one profile apart. */
export const MODELS: Readonly<
  Record<Profile, (phase: number, random: () => number) => DeviceModel>
> = { greenhouse, outdoor, machine };
