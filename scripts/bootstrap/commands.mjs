import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ChildFailed, runForeground, runQuiet } from './child.mjs';
import { inRoot } from './paths.mjs';
import { findPeers, PEERS, PI_VM_TOOLS, POWER_CUT_TOOLS } from './peers.mjs';
import { prepare, prepareTools, tool } from './prepare.mjs';
import { say, step } from './step.mjs';
import {
  nodeTestArguments,
  ownConcurrency,
  ownTests,
  peerTests,
  piVmTests,
  powerCutTests,
  repoTests,
  selectTests,
} from './test-files.mjs';
import { wrapAllComments } from './wrap-comments.mjs';

const EXIT_USAGE = 64;

const node = (args, options) => runForeground(process.execPath, args, options);

function biome(args) {
  const colors = process.stdout.isTTY ? [] : ['--colors=off'];
  return node([tool('@biomejs', 'biome', 'bin', 'biome'), ...args, ...colors]);
}

async function start(args) {
  await prepare();
  const hub = ['--enable-source-maps', join('dist', 'hub', 'main.js'), 'run', ...args];
  return node(hub, { ownGroup: true });
}

async function test(args) {
  const { options, files } = selectTests(args, ownTests());
  await prepare();
  return node(nodeTestArguments(files, options, { concurrency: ownConcurrency() }));
}

/** One at a time: each starts servers or machines, and some measure. */
async function testForeign(args, all, programs) {
  const { options, files } = selectTests(args, all);
  await findPeers(programs);
  await prepare();
  if (files.length === 0) return 0;
  return node(nodeTestArguments(files, options, { concurrency: 1 }));
}

const testPeers = (args) => testForeign(args, peerTests(), PEERS);
const testPowerCut = (args) => testForeign(args, powerCutTests(), POWER_CUT_TOOLS);
const testPiVm = (args) => testForeign(args, piVmTests(), PI_VM_TOOLS);

/**
 * Everything that can be said about the sources without running them. Reports all, not the first.
 */
async function check() {
  await prepareTools();
  const exitCodes = [await biome(['ci', '--error-on-warnings'])];
  const compiled = await reported(() => prepare({ console: false }));
  exitCodes.push(compiled, await reported(checkConsoleTypes));
  const files = repoTests();
  if (compiled === 0 && files.length > 0)
    exitCodes.push(await node(nodeTestArguments(files, [], { concurrency: ownConcurrency() })));
  return exitCodes.find((exitCode) => exitCode !== 0) ?? 0;
}

async function checkConsoleTypes() {
  if (!existsSync(inRoot('console', 'tsconfig.json'))) return;
  const tsc = [tool('typescript', 'bin', 'tsc'), '-p', 'console'];
  await step('checking the types of the console (tsc)', () => runQuiet(process.execPath, tsc));
}

async function fix() {
  await prepareTools();
  wrapAllComments();
  return biome(['check', '--write', '--error-on-warnings']);
}

async function build() {
  await prepare();
  return 0;
}

async function bench(args) {
  await prepare({ console: false });
  return node(['--enable-source-maps', join('dist', 'bench', 'run.js'), ...args]);
}

async function generate(args) {
  await prepare({ console: false });
  return node(['--enable-source-maps', join('dist', 'scripts', 'generate.js'), ...args]);
}

const COMMANDS = {
  start,
  test,
  'test:peers': testPeers,
  'test:power-cut': testPowerCut,
  'test:pi-vm': testPiVm,
  build,
  check,
  fix,
  bench,
  generate,
};

/** Runs one command and resolves with the exit code. */
export async function main([name, ...args]) {
  const command = Object.hasOwn(COMMANDS, name ?? '') ? COMMANDS[name] : undefined;
  if (!command) {
    say(`unknown command \`${name ?? ''}\`; there are: ${Object.keys(COMMANDS).join(', ')}`);
    return EXIT_USAGE;
  }
  let exitCode = 0;
  const failure = await reported(async () => {
    exitCode = await command(args);
  });
  return failure || exitCode;
}

/**
 * Runs a step; a failure is told in the words of the tool that failed, and becomes its exit code.
 */
async function reported(work) {
  try {
    await work();
    return 0;
  } catch (error) {
    if (error instanceof ChildFailed) process.stderr.write(`${error.output.trimEnd()}\n`);
    say(error.message);
    return error.exitCode ?? 1;
  }
}
