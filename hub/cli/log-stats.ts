import { type LogStats, readLogStats } from '../log/inspection/stats.ts';
import { findLog, type LogOptions, type Output, reading } from './log-options.ts';

export interface LogStatsOptions extends LogOptions {
  readonly json: boolean;
}

/** `holdfast log stats`: what is in a data directory. Changes nothing. */
export async function logStatsCommand(options: LogStatsOptions, io: Output): Promise<number> {
  const { dataDir } = await findLog(options, io.env);
  const stats = await reading(dataDir, readLogStats(dataDir));
  const text = options.json ? JSON.stringify({ data: dataDir, ...stats }) : page(dataDir, stats);
  io.stdout.write(`${text}\n`);
  return 0;
}

type Row = readonly (string | number)[];

/** Columns as wide as their widest cell; numbers to the right. */
function table(rows: readonly Row[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) {
      widths[at] = Math.max(widths[at] ?? 0, String(cell).length);
    }
  }
  const padded = (cell: string | number, at: number) => {
    const width = widths[at] ?? 0;
    return typeof cell === 'number' ? String(cell).padStart(width) : cell.padEnd(width);
  };
  return rows.map((row) => `  ${row.map(padded).join('  ').trimEnd()}`);
}

function page(dataDir: string, stats: LogStats): string {
  const { logId, lanes, cursors, losses, files, lostAndFound } = stats;
  const lines = [`${dataDir}: log ${logId ?? 'without an id'}`, 'lanes'];
  const laneHead = ['lane', 'head', 'tail', 'events', 'blocks', 'bytes', 'first', 'last'];
  const laneRows = lanes.map((lane) => [
    lane.lane,
    lane.head,
    lane.tail,
    lane.events,
    lane.blocks,
    lane.bytes,
    lane.firstTime ?? '-',
    lane.lastTime ?? '-',
  ]);
  lines.push(...table([laneHead, ...laneRows]));
  if (cursors.length > 0) {
    const rows = cursors.map(({ sink, lane, offset, lag, delivered, lost }) => {
      const lostEvents = Object.values(lost).reduce((sum, events) => sum + events, 0);
      return [sink, lane, offset, lag, delivered, lostEvents];
    });
    const head = ['sink', 'lane', 'cursor', 'lag', 'delivered', 'lost'];
    lines.push('sinks', ...table([head, ...rows]));
  }
  const lost = Object.entries(losses);
  if (lost.length > 0) lines.push('lost since the log was made', ...table(lost));
  const size = (list: LogStats['files']) => list.reduce((sum, { bytes }) => sum + bytes, 0);
  lines.push(`files: ${files.length}, ${size(files)} bytes`);
  if (lostAndFound.length > 0) {
    const rows = lostAndFound.map(({ file, bytes }) => [file, bytes]);
    lines.push(`lost+found: ${size(lostAndFound)} bytes`, ...table(rows));
  }
  return lines.join('\n');
}
