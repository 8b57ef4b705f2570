/**
 * Moves a line up and down at a steady pace: `pull-edges.js FILE EDGES EDGES_PER_SECOND`. A process
 * of its own, so that the pace does not hang on who looks at the result. Prints what it did, as
 * JSON.
 */
import { openSync, writeSync } from 'node:fs';

/**
 * The kernel keeps 16 edges of a line until they are fetched. After the machine has stalled, edges
 * come late, but never so many at once that nobody could count them.
 */
const EDGES_AT_ONCE_MAX = 8;
/** To wake up costs an emulated machine as much as several edges: these come together. */
const SPAN_MS = 4;
/** Time for others to fetch them, after a stall too. */
const NAP_MS_MIN = 0.5;

const [file = '', count = '0', perSecond = '1'] = process.argv.slice(2);
const edges = Number(count);
const spacingMs = 1000 / Number(perSecond);
const pull = openSync(file, 'w');
const nap = new Int32Array(new SharedArrayBuffer(4));

const startMs = performance.now();
let longestPauseMs = 0;
let lastMs = startMs;
for (let done = 0; done < edges; ) {
  const nowMs = performance.now();
  const due = Math.min(edges, Math.floor((nowMs - startMs) / spacingMs) + 1);
  const until = Math.min(due, done + EDGES_AT_ONCE_MAX);
  if (until > done) {
    longestPauseMs = Math.max(longestPauseMs, nowMs - lastMs);
    lastMs = nowMs;
  }
  for (; done < until; done++) writeSync(pull, done % 2 === 0 ? 'pull-up' : 'pull-down');
  const next = done + Math.max(1, Math.floor(SPAN_MS / spacingMs)) - 1;
  const napMs = startMs + next * spacingMs - performance.now();
  Atomics.wait(nap, 0, 0, Math.max(NAP_MS_MIN, napMs));
}
const tookMs = performance.now() - startMs;
process.stdout.write(JSON.stringify({ edges, tookMs, longestPauseMs }));
