import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { HubConfig } from '../../config/schema.ts';
import { cloudEventEncoder, eventId } from '../core/cloud-event.ts';
import { HubError } from '../core/errors.ts';
import { type Decode, type HubEvent, LANES, type Lane } from '../core/event.ts';
import { isoToMs } from '../core/iso-time.ts';
import { topicFilterProblem } from '../core/topic.ts';
import { type ExportedEvent, exportEvents } from '../log/inspection/export-events.ts';
import { findLog, type LogOptions, type Output, reading } from './log-options.ts';

/** As they are given on the command line. */
export interface LogExportOptions extends LogOptions {
  readonly format: string;
  readonly lane?: string;
  readonly from?: string;
  readonly to?: string;
  readonly topic?: string;
  readonly hub?: string;
  readonly output?: string;
  readonly lost: boolean;
}

/** Lines are handed on in pieces of this size: a write for each line would be most of the work. */
const PIECE_CHARS = 64 * 1024;

const COLUMNS = [
  'id',
  'lane',
  'offset',
  'received_time',
  'topic',
  'source',
  'kind',
  'payload',
  'payload_base64',
];

/**
 * `holdfast log export`: the events of a data directory as CloudEvents, a line each, or as CSV.
 * Changes nothing. `decoder` makes the decoding of a configuration, or of none. Errors: USAGE.
 */
export async function logExportCommand(
  options: LogExportOptions,
  decoder: (config: HubConfig | undefined) => Decode,
  io: Output,
): Promise<number> {
  const { format, output } = options;
  if (format !== 'ndjson' && format !== 'csv') {
    throw new HubError('USAGE', `--format is ${format}; expected ndjson, csv`);
  }
  const selection = selectionOf(options);
  const { dataDir, hubId, config } = await findLog(options, io.env);
  const hub = options.hub ?? hubId;
  const lineOf = format === 'csv' ? csvLine(hub) : jsonLine(hub, decoder(config));
  const head = format === 'csv' ? `${COLUMNS.join(',')}\r\n` : '';
  const events = exportEvents({ dataDir, ...selection });
  const source = Readable.from(pieces(events, lineOf, head), { objectMode: false });
  try {
    if (output === undefined) await pipeline(source, io.stdout, { end: false });
    else await reading(dataDir, pipeline(source, createWriteStream(output)));
  } catch (error) {
    // whoever read it (`head`) has seen enough
    const isPipe = error instanceof Error && 'code' in error && error.code === 'EPIPE';
    if (!isPipe) throw error;
  }
  return 0;
}

function selectionOf({ lane, from, to, topic, lost }: LogExportOptions) {
  const known = LANES.filter((name) => name === lane);
  if (lane !== undefined && known.length === 0) {
    throw new HubError('USAGE', `--lane is ${lane}; expected ${LANES.join(', ')}`);
  }
  const problem = topic === undefined ? undefined : topicFilterProblem(topic);
  if (problem) throw new HubError('USAGE', `--topic ${problem}`);
  return {
    lanes: known satisfies readonly Lane[],
    fromMs: timeOf('--from', from, Number.NEGATIVE_INFINITY),
    toMs: timeOf('--to', to, Number.POSITIVE_INFINITY),
    topics: topic === undefined ? undefined : [topic],
    lost,
  };
}

function timeOf(option: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const timeMs = isoToMs(text);
  if (timeMs !== undefined) return timeMs;
  throw new HubError('USAGE', `${option} is ${text}; expected a time such as 2026-07-01T12:00:00Z`);
}

async function* pieces(
  events: AsyncIterable<ExportedEvent>,
  lineOf: (event: ExportedEvent) => string,
  head: string,
): AsyncGenerator<string> {
  let piece = head;
  for await (const event of events) {
    piece += lineOf(event);
    if (piece.length < PIECE_CHARS) continue;
    yield piece;
    piece = '';
  }
  if (piece) yield piece;
}

function jsonLine(hubId: string, decode: Decode): (exported: ExportedEvent) => string {
  const encoders = new Map<string, (event: HubEvent) => string>();
  return ({ logId, event }) => {
    let encode = encoders.get(logId);
    if (!encode) {
      encode = cloudEventEncoder({ hubId, logId, decode, content: 'payload' });
      encoders.set(logId, encode);
    }
    return `${encode(event)}\n`;
  };
}

/** RFC 4180. The payload is in the column for text when it is text, else in the other one. */
function csvLine(hubId: string): (exported: ExportedEvent) => string {
  return ({ logId, event }) => {
    const { lane, offset, receivedMs, topic, source, kind, payload } = event;
    const text = payload.toString();
    const isText = !text.includes('\0') && Buffer.from(text).equals(payload);
    const received = new Date(receivedMs);
    const cells = [
      eventId(hubId, logId, lane, offset),
      lane,
      String(offset),
      Number.isNaN(received.getTime()) ? '' : received.toISOString(),
      topic,
      source,
      kind,
      isText ? text : '',
      isText ? '' : payload.toString('base64'),
    ];
    return `${cells.map(cell).join(',')}\r\n`;
  };
}

function cell(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
