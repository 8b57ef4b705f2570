import type { Clock } from '../../hub/core/clock.ts';
import type { SourceGap } from '../sampling/source-health.ts';
import type { WatchSettings } from './backend.ts';
import { edgesOf, type InputFields, type LineFields, type OutputFields } from './fields.ts';
import { type LineReference, parseLine } from './line-name.ts';
import { CounterReader } from './lines/counter-reader.ts';
import { EdgeReader } from './lines/edge-reader.ts';
import { LevelReader } from './lines/level-reader.ts';
import type { LineReader } from './lines/line-reader.ts';
import { Output } from './lines/output.ts';
import { PulseReader } from './lines/pulse-reader.ts';

/** Whether a line is there. `starting`: nobody knows yet. Times are monotonic, in ms. */
export type Condition =
  | { readonly is: 'starting' }
  | { readonly is: 'up' }
  | { readonly is: 'down'; readonly why: string; readonly sinceMs: number; readonly tries: number };

/** One line of the configuration, and what is known of it. It outlives a run of the bridge. */
abstract class Place {
  abstract readonly fields: LineFields;
  readonly reference: LineReference;
  abstract readonly reader: LineReader;
  condition: Condition = { is: 'starting' };
  /** It was away, and nobody has been told. */
  #gap: SourceGap | undefined;

  constructor(line: number | string) {
    const parsed = parseLine(line);
    // checked with the configuration
    if (!parsed.ok) throw new Error(parsed.problem);
    this.reference = parsed.line;
  }

  up(clock: Clock): void {
    if (this.condition.is === 'down') {
      const { sinceMs, tries, why } = this.condition;
      const lengthMs = clock.monotonicMs() - sinceMs + (this.#gap?.lengthMs ?? 0);
      this.#gap = { lengthMs, failures: tries + (this.#gap?.failures ?? 0), why };
    }
    this.condition = { is: 'up' };
  }

  down(why: string, clock: Clock): void {
    const before = this.condition;
    this.condition =
      before.is === 'down'
        ? { is: 'down', why, sinceMs: before.sinceMs, tries: before.tries + 1 }
        : { is: 'down', why, sinceMs: clock.monotonicMs(), tries: 1 };
  }

  takeGap(): SourceGap | undefined {
    const gap = this.#gap;
    this.#gap = undefined;
    return gap;
  }
}

export class InputPlace extends Place {
  readonly kind = 'input';
  readonly fields: InputFields;
  readonly reader: LineReader;

  constructor(fields: InputFields, reader: LineReader) {
    super(fields.line);
    this.fields = fields;
    this.reader = reader;
  }

  get settings(): WatchSettings {
    const { bias, active_low, debounce } = this.fields;
    return { bias, activeLow: active_low, debounceMs: debounce, edges: edgesOf(this.fields) };
  }
}

export class OutputPlace extends Place {
  readonly kind = 'output';
  readonly fields: OutputFields;
  readonly reader: LevelReader;
  readonly output: Output;

  constructor(fields: OutputFields, clock: Clock) {
    super(fields.line);
    this.fields = fields;
    this.reader = new LevelReader(fields.metric, fields.interval);
    this.output = new Output(fields, this.reader, clock);
  }
}

export type AnyPlace = InputPlace | OutputPlace;

/** `remembered`: what a counter was at, by its key. */
export function placeOf(
  fields: LineFields,
  remembered: (fields: LineFields) => unknown,
  clock: Clock,
): AnyPlace {
  if (fields.mode === 'output') return new OutputPlace(fields, clock);
  return new InputPlace(fields, readerOf(fields, remembered));
}

function readerOf(fields: InputFields, remembered: (fields: LineFields) => unknown): LineReader {
  switch (fields.mode) {
    case 'state':
      return new LevelReader(fields.metric, fields.interval);
    case 'edges':
      return new EdgeReader(fields.metric, fields.edge);
    case 'counter':
      return new CounterReader(fields, remembered(fields));
    case 'frequency':
    case 'period':
      return new PulseReader(fields);
  }
}
