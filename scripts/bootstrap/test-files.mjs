import { existsSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, sep } from 'node:path';
import { inRoot, ROOT } from './paths.mjs';
import { filesBelow, outputOf } from './sources.mjs';

/** Depth is law: `tests/<area>/<name>.test.ts`. */
const TEST_SOURCE = /^tests[\\/][^\\/]+[\\/][^\\/]+\.test\.ts$/;
const PEERS_FOLDER = join('tests', 'peers') + sep;
const POWER_CUT_FOLDER = join('tests', 'power-cut') + sep;
const PI_VM_FOLDER = join('tests', 'pi-vm') + sep;
/** Folders with a command of their own. */
const FOREIGN_FOLDERS = [PEERS_FOLDER, POWER_CUT_FOLDER, PI_VM_FOLDER];

const allTests = () => filesBelow('tests').filter((path) => TEST_SOURCE.test(path));

/** The tests that need no foreign program. */
export const ownTests = () =>
  allTests().filter((path) => !FOREIGN_FOLDERS.some((folder) => path.startsWith(folder)));
export const peerTests = () => allTests().filter((path) => path.startsWith(PEERS_FOLDER));
export const powerCutTests = () => allTests().filter((path) => path.startsWith(POWER_CUT_FOLDER));
export const piVmTests = () => allTests().filter((path) => path.startsWith(PI_VM_FOLDER));
export const repoTests = () => allTests().filter((path) => path.startsWith(join('tests', 'repo')));

/**
 * Splits the arguments of `npm test`: files and folders select tests, everything that begins with
 * `-` goes to `node --test`. An argument that selects nothing is an error.
 */
export function selectTests(args, all) {
  const options = args.filter((arg) => arg.startsWith('-'));
  const selectors = args.filter((arg) => !arg.startsWith('-'));
  if (selectors.length === 0) return { options, files: all };
  return { options, files: [...new Set(selectors.flatMap(filesOf))] };
}

function filesOf(selector) {
  const path = relative(ROOT, inRoot(selector.replace(/^dist[\\/]/, '').replace(/\.js$/, '.ts')));
  const isFolder = existsSync(inRoot(path)) && statSync(inRoot(path)).isDirectory();
  const found = allTests().filter(
    (test) => test === path || (isFolder && test.startsWith(path + sep)),
  );
  if (found.length > 0) return found;
  throw new Error(`no test file at \`${selector}\`; the form is tests/<area>/<name>.test.ts`);
}

/** Arguments for Node.js 20 and later: explicit files, because only newer ones expand patterns. */
export function nodeTestArguments(files, options, { concurrency }) {
  const own = ['--enable-source-maps', '--test', `--test-concurrency=${concurrency}`];
  return [...own, ...options, ...files.map(outputOf)];
}

/** Tests mostly wait, for the disk and for timers: two at once even on a machine with two cores. */
export const ownConcurrency = () => Math.max(2, availableParallelism() - 1);
