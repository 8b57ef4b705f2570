import type { SinkSpec } from '../hub/core/sink.ts';
import { fileSinkSpec } from './file/spec.ts';
import { httpSinkSpec } from './http/spec.ts';
import { influxSinkSpec } from './influx/spec.ts';

/**
 * Every kind of sink, in the order in which the documentation shows them. A new kind is one line
 * here. The options may carry checks across fields: add further keys with `.extend()`, never from
 * `.shape`.
 */
export const SINKS = [
  httpSinkSpec,
  influxSinkSpec,
  fileSinkSpec,
] as const satisfies readonly SinkSpec[];
