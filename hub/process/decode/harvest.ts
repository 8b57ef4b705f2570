import type { ArrivalQuality, Reading, TimeQuality } from '../../core/event.ts';
import type { CompiledRule } from './compiled-rule.ts';
import { deviceTimeMs } from './device-time.ts';
import type { TimeUnit } from './rule.ts';
import type { TopicTarget } from './topic-targets.ts';

/**
 * A message with more values than this is a table, and would flood every sink that takes readings.
 */
export const READINGS_PER_EVENT_MAX = 64;
/** Text that is a state or a code is short; a longer one is a log line or an image. */
export const TEXT_VALUE_CHARS_MAX = 1_024;
/** As for the names that topics give. */
const METRIC_CHARS_MAX = 256;
/** Ten years: no device has kept a reading for longer. */
const AGE_MS_MAX = 3_650 * 86_400_000;

/** The metric of a payload that names none. */
export const DEFAULT_METRIC = 'value';

/** Collects what is read from one payload. */
export class Harvest {
  readonly readings: Reading[] = [];
  error: string | undefined;
  timeMs: number;
  timeQuality: TimeQuality;
  readonly rule: CompiledRule;
  readonly #target: TopicTarget;
  readonly #receivedMs: number;
  readonly #arrivalQuality: ArrivalQuality;
  #overflowed = false;

  constructor(
    rule: CompiledRule,
    target: TopicTarget,
    receivedMs: number,
    arrivalQuality: ArrivalQuality,
  ) {
    this.rule = rule;
    this.#target = target;
    this.#receivedMs = receivedMs;
    this.#arrivalQuality = arrivalQuality;
    this.timeMs = receivedMs;
    this.timeQuality = arrivalQuality;
  }

  /** The metric of a payload that is one value. */
  get onlyMetric(): string {
    return this.#target.metric ?? DEFAULT_METRIC;
  }

  get topicNamesMetric(): boolean {
    return this.#target.metric !== undefined;
  }

  /** The metric of the value that the payload calls `key`. */
  metricOf(key: string): string {
    const { metric } = this.#target;
    return metric === undefined || this.rule.namesMetrics ? key : `${metric}_${key}`;
  }

  /** From here on readings have this time, if it can be believed. Returns whether it can. */
  takeTime(value: unknown, unit: TimeUnit): boolean {
    const ms = deviceTimeMs(value, unit, this.#receivedMs, this.#arrivalQuality);
    if (ms === undefined) return false;
    this.timeMs = ms;
    this.timeQuality = 'device';
    return true;
  }

  /** From here on readings are older than their arrival by this, and as well known as that. */
  takeAge(ageMs: unknown): void {
    if (typeof ageMs !== 'number' || !(ageMs >= 0 && ageMs <= AGE_MS_MAX)) return;
    this.timeMs = this.#receivedMs - Math.round(ageMs);
    this.timeQuality = this.#arrivalQuality;
  }

  /** From here on readings have the time of their arrival. */
  takeArrivalTime(): void {
    this.timeMs = this.#receivedMs;
    this.timeQuality = this.#arrivalQuality;
  }

  /** Whether a value was turned away because there are too many. */
  get overflowed(): boolean {
    return this.#overflowed;
  }

  add(metric: string, value: number | string | boolean, ownUnit?: string): void {
    if (metric.length > METRIC_CHARS_MAX) return;
    if (this.readings.length >= READINGS_PER_EVENT_MAX) {
      this.#overflowed = true;
      this.error = `has more than ${READINGS_PER_EVENT_MAX} values; only the first are taken`;
      return;
    }
    const { device, tags } = this.#target;
    const { timeMs, timeQuality } = this;
    const unit = ownUnit ?? this.rule.units?.get(metric);
    this.readings.push(
      unit === undefined
        ? { device, metric, value, timeMs, timeQuality, tags }
        : { device, metric, value, unit, timeMs, timeQuality, tags },
    );
  }
}
