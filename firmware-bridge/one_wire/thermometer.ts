/** One thermometer that the kernel reads, wherever it is plugged in. */
import { join } from 'node:path';
import type { Clock } from '../../hub/core/clock.ts';
import { describeError } from '../../hub/core/errors.ts';
import { readAttribute, writeAttribute } from '../sampling/attribute.ts';
import { kernelProblem, systemErrorName } from '../sampling/kernel-problem.ts';
import type { Reading, Sample, Sensor } from '../sampling/sensor.ts';
import type { BulkConversion } from './conversion.ts';
import {
  judgeScratchpad,
  judgeTemperature,
  POWER_ON_CELSIUS,
  type Verdict,
} from './temperature.ts';

/** What was near 85 °C a moment ago may be at it. */
const CONTINUES_DEGREES = 5;
/** They have nine bits, and no choice. */
const DS18S20_FAMILY = '10-';
/** The kernel gives thousandths, offsets may have more digits than make sense. */
const DECIMALS = 3;

/** Where a sensor is now. */
export interface Place {
  /** Folder of its bus master. */
  readonly master: string;
  readonly conversion: BulkConversion;
  /** Ids of all thermometers of the bus. */
  readonly all: readonly string[];
}

export interface ThermometerParts {
  readonly id: string;
  readonly device: string;
  readonly metric: string;
  readonly offset: number;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly resolution: number | undefined;
  readonly lane: string;
  readonly clock: Clock;
  /** Undefined: no bus has it. */
  place(): Place | undefined;
}

export class Thermometer implements Sensor {
  readonly key: string;
  readonly device: string;
  readonly name: string;
  readonly identity: { readonly sensor: string };
  readonly lane: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly #parts: ThermometerParts;
  #lastCelsius: number | undefined;
  #resolution: 'to be set' | 'set' | { readonly problem: string } = 'to be set';

  constructor(parts: ThermometerParts) {
    this.#parts = parts;
    const { id, device } = parts;
    this.key = id;
    this.device = device;
    this.name = device === id ? id : `${device} (${id})`;
    this.identity = { sensor: id };
    this.lane = parts.lane;
    this.intervalMs = parts.intervalMs;
    this.timeoutMs = parts.timeoutMs;
  }

  async read(reading: Reading): Promise<Sample> {
    const { id, metric, offset, clock } = this.#parts;
    try {
      const place = this.#parts.place();
      if (place === undefined) throw new Error('it is on no bus: check its plug and its id');
      const folder = join(place.master, id);
      await this.#setResolution(folder, reading.signal);
      await place.conversion.prepare(id, place.all, clock, reading.signal);
      const celsius = this.#believe(await this.#ask(folder, reading.signal), reading);
      this.#lastCelsius = celsius;
      const value = Number((celsius + offset).toFixed(DECIMALS));
      return { values: [[metric, value]], problems: this.#problems() };
    } catch (error) {
      // it may have been without power, and has forgotten
      this.#resolution = 'to be set';
      this.#lastCelsius = undefined;
      throw error;
    }
  }

  async #ask(folder: string, signal: AbortSignal): Promise<Verdict> {
    const text = await readOrAbsent(join(folder, 'temperature'), signal);
    if (text === undefined) return await this.#askScratchpad(folder, signal);
    if (text === '')
      throw new Error('it does not answer, or garbled: check wires, pull-up and supply');
    const verdict = judgeTemperature(text, this.#parts.id);
    if (verdict.is !== 'suspect' || this.#mayBe85(verdict.celsius)) return verdict;
    return await this.#askScratchpad(folder, signal);
  }

  async #askScratchpad(folder: string, signal: AbortSignal): Promise<Verdict> {
    const text = await readOrAbsent(join(folder, 'w1_slave'), signal);
    if (text === undefined) throw new Error(await whyAbsent(folder, signal));
    if (text === '') throw new Error('it does not answer: check wires, pull-up and supply');
    return judgeScratchpad(text, this.#parts.id);
  }

  #believe(verdict: Verdict, reading: Reading): number {
    if (verdict.is !== 'bad') return verdict.celsius;
    reading.badFrames(verdict.reason, 1);
    throw new Error(verdict.why);
  }

  /** The bytes of a DS18S20 at 85 °C are those after power-on: only what was before can tell. */
  #mayBe85(celsius: number): boolean {
    const last = this.#lastCelsius;
    const isNear = last !== undefined && Math.abs(last - celsius) <= CONTINUES_DEGREES;
    return isNear && celsius === POWER_ON_CELSIUS && this.#parts.id.startsWith(DS18S20_FAMILY);
  }

  async #setResolution(folder: string, signal: AbortSignal): Promise<void> {
    const { id, resolution } = this.#parts;
    if (resolution === undefined || this.#resolution !== 'to be set') return;
    if (id.startsWith(DS18S20_FAMILY)) return;
    const path = join(folder, 'resolution');
    try {
      const now = await readOrAbsent(path, signal);
      // before Linux 5.8 there is only the other one
      const target = now === undefined ? join(folder, 'w1_slave') : path;
      if (now !== String(resolution)) await writeAttribute(target, `${resolution}\n`, signal);
      this.#resolution = 'set';
    } catch (error) {
      if (signal.aborted) throw error;
      const why = kernelProblem(error, path) ?? describeError(error);
      const problem = `its resolution could not be set to ${resolution}: ${why}`;
      this.#resolution = { problem };
    }
  }

  #problems(): string[] {
    return typeof this.#resolution === 'string' ? [] : [this.#resolution.problem];
  }
}

async function whyAbsent(folder: string, signal: AbortSignal): Promise<string> {
  const name = await readOrAbsent(join(folder, 'name'), signal);
  return name === undefined
    ? 'it has left the bus: check its plug and its wires'
    : 'the kernel does not know how to read it: `sudo modprobe w1_therm`';
}

/** Undefined: there is no such file. Throws with words for people. */
async function readOrAbsent(path: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    return await readAttribute(path, signal);
  } catch (error) {
    if (systemErrorName(error) === 'ENOENT') return undefined;
    const problem = kernelProblem(error, path);
    throw problem === undefined ? error : new Error(problem);
  }
}
