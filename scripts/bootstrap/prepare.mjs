import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runQuiet } from './child.mjs';
import { withLock } from './lock.mjs';
import { inRoot } from './paths.mjs';
import {
  clearStamp,
  compiledFolders,
  filesBelow,
  fingerprint,
  isCompiled,
  outputOf,
  readStamp,
  removeStaleOutputs,
  writeStamp,
} from './sources.mjs';
import { step } from './step.mjs';

const INSTALL_STAMP = join('node_modules', '.holdfast-installed');
const BUILD_STAMP = join('dist', '.built');
const CONSOLE_STAMP = join('dist', '.console-built');
const LOCK_FILE = join('dist', '.bootstrap-lock');
/** New packages bring new types and new code. */
const BUILD_INPUTS = ['package.json', 'package-lock.json'];

/**
 * Installs and builds what is missing or older than its sources. Says nothing when that is nothing.
 */
export async function prepare({ console: withConsole = true } = {}) {
  await withLock(inRoot(LOCK_FILE), async () => {
    await install();
    await compile();
    if (withConsole) await buildConsole();
  });
}

/** Installs the packages when package-lock.json has changed. */
export async function prepareTools() {
  await withLock(inRoot(LOCK_FILE), install);
}

/** Path of a program that a package brings, to be run with this Node.js. */
export const tool = (...names) => inRoot('node_modules', ...names);

async function install() {
  const lockfile = readFileSync(inRoot('package-lock.json'));
  const machine = `${process.platform}-${process.arch}`;
  const wanted = `${machine} ${createHash('sha256').update(lockfile).digest('hex')}`;
  const stamp = readStamp(INSTALL_STAMP);
  if (stamp === wanted) return;
  const isOfThisMachine = stamp === undefined || stamp.startsWith(`${machine} `);
  if (isOfThisMachine && installedByHand(lockfile)) {
    writeStamp(INSTALL_STAMP, wanted);
    return;
  }
  // The compiler is needed whatever the environment says (NODE_ENV=production, omit=optional).
  const args = ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];
  const [command, ...before] = npm();
  await step('installing packages (npm ci)', () => runQuiet(command, [...before, ...args]));
  writeStamp(INSTALL_STAMP, wanted);
}

/** The npm that called us, or the one of the PATH. */
function npm() {
  const caller = process.env.npm_execpath ?? '';
  return caller.endsWith('npm-cli.js') ? [process.execPath, caller] : ['npm'];
}

/** Whether somebody ran `npm ci` or `npm install` before us: npm leaves its own account of it. */
function installedByHand(lockfile) {
  const account = tool('.package-lock.json');
  if (!existsSync(account)) return false;
  const installed = JSON.parse(readFileSync(account, 'utf8')).packages ?? {};
  return Object.entries(JSON.parse(lockfile).packages).every(
    ([path, { version, optional }]) =>
      path === '' || installed[path]?.version === version || (optional && !installed[path]),
  );
}

async function compile() {
  const sources = compiledFolders()
    .flatMap(filesBelow)
    .filter((path) => path.endsWith('.ts'));
  const current = () => fingerprint([...sources, ...BUILD_INPUTS, 'tsconfig.json']);
  const wanted = current();
  const missing = () =>
    sources.some((path) => isCompiled(path) && !existsSync(inRoot(outputOf(path))));
  if (readStamp(BUILD_STAMP) === wanted && !missing()) return;
  // tsc trusts its own notes about what it has written; they are wrong when outputs were deleted.
  if (missing()) clearStamp(join('dist', '.tsbuildinfo'));
  clearStamp(BUILD_STAMP);
  const tsc = [
    tool('typescript', 'bin', 'tsc'),
    '-p',
    '.',
    '--pretty',
    String(process.stderr.isTTY === true),
  ];
  await step('compiling (tsc)', () => runQuiet(process.execPath, tsc));
  removeStaleOutputs();
  // Edited while tsc ran: then the stamp must not claim the newer state.
  if (current() === wanted) writeStamp(BUILD_STAMP, wanted);
}

async function buildConsole() {
  const config = join('console', 'vite.config.ts');
  if (!existsSync(inRoot(config))) return;
  const wanted = fingerprint([...filesBelow('console'), ...BUILD_INPUTS]);
  if (readStamp(CONSOLE_STAMP) === wanted && existsSync(inRoot('dist', 'console', 'index.html')))
    return;
  const vite = [tool('vite', 'bin', 'vite.js'), 'build', '--config', config, '--logLevel', 'warn'];
  await step('building the console (vite)', () => runQuiet(process.execPath, vite));
  writeStamp(CONSOLE_STAMP, wanted);
}
