import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { ROOT } from './paths.mjs';

/**
 * One Ctrl-C arrives several times: from the terminal, and again from npm, which passes it on. The
 * hub takes a second SIGINT as "stop at once", so what comes within this time counts as the same
 * one.
 */
const SAME_SIGNAL_MS = 1_000;
/** The last part of an output is where tools put the reason. */
const KEPT_OUTPUT_CHARACTERS = 64 * 1024;

/** Signals a supervisor or a terminal stops us with. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Asked once, at the start: when the terminal has closed it no longer is one. */
const AT_TERMINAL = process.stdin.isTTY === true;

/**
 * A child that ended badly. `exitCode` is what we exit with; `output` what it said, if it was kept.
 */
export class ChildFailed extends Error {
  constructor(command, exitCode, output) {
    super(`\`${command}\` ended with exit code ${exitCode}`);
    this.exitCode = exitCode;
    this.output = output;
  }
}

/**
 * Runs a program with our terminal as its own and resolves with its exit code, by convention
 * 128 + number when a signal ended it. With `ownGroup`, Ctrl-C reaches it through us, exactly once.
 */
export function runForeground(command, args, { ownGroup = false, env = process.env } = {}) {
  const child = spawn(command, args, { cwd: ROOT, stdio: 'inherit', detached: ownGroup, env });
  return ended(child, command);
}

/** Runs a program, keeping what it says, and resolves with that. A failure throws ChildFailed. */
export async function runQuiet(command, args, { env = process.env } = {}) {
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], env });
  let output = '';
  const keep = (chunk) => {
    output = (output + chunk).slice(-KEPT_OUTPUT_CHARACTERS);
  };
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);
  const exitCode = await ended(child, command);
  if (exitCode !== 0) throw new ChildFailed(spokenName(command, args), exitCode, output);
  return output;
}

/** People know `tsc`, not the path of Node.js that runs it. */
function spokenName(command, args) {
  return basename(command === process.execPath ? args[0] : command, '.js');
}

function ended(child, command) {
  const stopForwarding = forwardSignals(child);
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => {
      const what =
        cause.code === 'ENOENT' ? 'is not installed' : `cannot be started (${cause.code})`;
      reject(new Error(`\`${command}\` ${what}`, { cause }));
    });
    child.once('close', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  }).finally(stopForwarding);
}

function forwardSignals(child) {
  const forwardedAtMs = {};
  const handlers = SIGNALS.map((signal) => {
    const handler = () => {
      const now = performance.now();
      if (now - (forwardedAtMs[signal] ?? Number.NEGATIVE_INFINITY) < SAME_SIGNAL_MS) return;
      forwardedAtMs[signal] = now;
      // A closed terminal means "stop"; to the hub itself SIGHUP means "reload".
      child.kill(signal === 'SIGHUP' && AT_TERMINAL ? 'SIGTERM' : signal);
    };
    process.on(signal, handler);
    return [signal, handler];
  });
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}
