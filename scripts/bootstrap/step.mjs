/** How often a terminal sees the seconds move. */
const TICK_MS = 1_000;

/** Progress goes to stderr, so that stdout stays what the command itself prints. */
const out = process.stderr;

const seconds = (sinceMs) => `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;

/** Runs `work` under one line of progress: its name, and in the end the seconds it took. */
export async function step(name, work) {
  const startedMs = performance.now();
  const line = `holdfast: ${name} ... `;
  out.write(line);
  const ticking = out.isTTY
    ? setInterval(() => out.write(`\r${line}${seconds(startedMs)}`), TICK_MS)
    : undefined;
  try {
    const result = await work();
    out.write(`${out.isTTY ? `\r${line}` : ''}${seconds(startedMs)}\n`);
    return result;
  } catch (error) {
    out.write(`${out.isTTY ? `\r${line}` : ''}failed after ${seconds(startedMs)}\n`);
    throw error;
  } finally {
    clearInterval(ticking);
  }
}

/** One line for people. */
export function say(text) {
  out.write(`holdfast: ${text}\n`);
}
