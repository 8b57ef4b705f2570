import { type Defect, type Verified, verifyLog } from '../log/inspection/verify.ts';
import { findLog, type LogOptions, type Output, reading } from './log-options.ts';

export interface LogVerifyOptions extends LogOptions {
  readonly json: boolean;
}

/** Damage is a result, not an error of the command. */
const EXIT_DAMAGED = 1;
/** A disk full of damage is still a page or two; the count says how much more there is. */
const SHOWN_MAX = 1_000;
const PROGRESS_INTERVAL_MS = 200;

/**
 * `holdfast log verify`: every damaged spot of the files and every damaged or missing block, a line
 * each, or as JSON. Changes nothing. Returns 0 when the log is whole, 1 when it is damaged.
 */
export async function logVerifyCommand(options: LogVerifyOptions, io: Output): Promise<number> {
  const { dataDir } = await findLog(options, io.env);
  const shown: Defect[] = [];
  let saidMs = performance.now();
  const isTerminal = io.stderr.isTTY === true;
  const verified = await reading(
    dataDir,
    verifyLog({
      dataDir,
      defect: (defect) => {
        if (shown.length < SHOWN_MAX) shown.push(defect);
      },
      progress: (bytes, of) => {
        if (!isTerminal || performance.now() - saidMs < PROGRESS_INTERVAL_MS) return;
        saidMs = performance.now();
        io.stderr.write(`\r${Math.floor((100 * bytes) / (of || 1))} %`);
      },
    }),
  );
  if (isTerminal) io.stderr.write('\r     \r');
  const ok = verified.defects === 0;
  if (options.json) {
    const answer = { ok, data: dataDir, ...verified, problems: shown };
    io.stdout.write(`${JSON.stringify(answer)}\n`);
  } else io.stdout.write(report(dataDir, verified, shown));
  return ok ? 0 : EXIT_DAMAGED;
}

function report(dataDir: string, verified: Verified, shown: readonly Defect[]): string {
  const lines = shown.map(line);
  if (verified.defects > shown.length) lines.push(`and ${verified.defects - shown.length} more`);
  const { defects, events, blocks, knownLostEvents } = verified;
  const what = `${events} events in ${blocks} blocks`;
  const known = knownLostEvents > 0 ? `; ${knownLostEvents} events are lost and reported` : '';
  const result = defects === 0 ? 'whole' : `${defects} ${defects === 1 ? 'problem' : 'problems'}`;
  lines.push(`${dataDir}: ${result}; ${what}${known}`);
  return `${lines.join('\n')}\n`;
}

function line(defect: Defect): string {
  switch (defect.kind) {
    case 'file': {
      const { file, offset, bytes, problem } = defect;
      const where = offset === null ? '' : ` at byte ${offset}`;
      return `${file}${where}: ${problem}${bytes === null ? '' : ` (${bytes} bytes)`}`;
    }
    case 'block': {
      const { lane, firstOffset, lastOffset, problem } = defect;
      return `lane ${lane}, offsets ${firstOffset} to ${lastOffset}: ${problem}`;
    }
    case 'record':
      return `record ${defect.key}: ${defect.problem}`;
  }
}
