import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { printable } from '../../hub/core/printable.ts';
import { howItEnded, type ProgramEnd } from '../child/program.ts';
import type { Failed } from './protocol.ts';

const MESSAGE_CHARACTERS_MAX = 400;
const OUT_OF_MEMORY = /heap out of memory/;

/** What is known of how the process of a plugin has ended. */
export interface PluginEnd {
  readonly file: string;
  /** What it said itself. */
  readonly failed: Failed | undefined;
  /** Whether `run` returned. */
  readonly returned: boolean;
  /** Undefined when it could not be ended. */
  readonly end: ProgramEnd | undefined;
  /** Lines of stderr that tell a place or a reason. */
  readonly hints: readonly string[];
  readonly heapBytesMax: number;
}

/** Whether a line of stderr is worth keeping, because Node.js tells what only it knows. */
export function isHint(line: string): boolean {
  return OUT_OF_MEMORY.test(line) || placeIn(line) !== undefined;
}

/** One line for people: which file, which line, what is wrong. */
export function describeFailure(plugin: PluginEnd): string {
  const { file, failed, returned, end, hints, heapBytesMax } = plugin;
  if (returned)
    return `the plugin ${file}: its \`run\` ended, and should go on until \`bridge.signal\` aborts`;
  if (failed) {
    const message = printable(failed.message.replaceAll(/\s+/g, ' '), MESSAGE_CHARACTERS_MAX);
    const place = failed.lost ? undefined : placeOf(failed.stack, file, hints);
    return `the plugin ${place ?? file}: ${message}`;
  }
  if (hints.some((line) => OUT_OF_MEMORY.test(line)))
    return (
      `the plugin ${file} needs more memory than its \`heap_max\` of ` +
      `${Math.round(heapBytesMax / 1024 ** 2)} MiB`
    );
  const how = end === undefined ? 'does not end' : howItEnded(end);
  return `the plugin ${file}: its process ${how}`;
}

/** `file:line` of the innermost place in the plugin's own folder. */
function placeOf(stack: string, file: string, hints: readonly string[]): string | undefined {
  const places = [...stack.split('\n'), ...hints].flatMap((line) => placeIn(line) ?? []);
  const isOwn = (path: string) => {
    const way = relative(dirname(file), path);
    return !way.startsWith('..') && !way.includes('node_modules');
  };
  const place = places.find(({ path }) => isOwn(path));
  return place === undefined ? undefined : `${place.path}:${place.line}`;
}

function placeIn(line: string): { path: string; line: number } | undefined {
  const [, url = '', number = ''] = /(file:\/\/\/[^\s()]+?):(\d+)(?::\d+)?\)?$/.exec(line) ?? [];
  if (url === '') return undefined;
  try {
    return { path: fileURLToPath(url.replace(/\?.*$/, '')), line: Number(number) };
  } catch {
    return undefined;
  }
}
