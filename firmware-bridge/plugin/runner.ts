/**
 * The process that a plugin runs in. It is started by the hub, hears what to do over the channel,
 * loads the plugin's file and runs it. Besides Node.js itself only a few files of ours are loaded.
 *
 * Invariants:
 * - it ends when the channel does: no plugin outlives the hub;
 * - whatever the plugin does wrong is told once, as `failed`, and the process ends.
 */
import { Socket } from 'node:net';
import { pathToFileURL } from 'node:url';
import type { Plugin, PluginBridge } from './api.ts';
import { BridgeEnd } from './bridge-end.ts';
import { MessageReader, sendOver } from './channel.ts';
import {
  type FromPlugin,
  type OptionProblem,
  type Start,
  type ToPlugin,
  WAITING_BYTES_MAX,
} from './protocol.ts';

const LOST = Symbol('lost');

const channel = new Socket({ fd: 3, readable: true, writable: true });
const reader = new MessageReader();
let end: BridgeEnd | undefined;
let hasFailed = false;

function tell(message: FromPlugin, told?: () => void): void {
  // one that talks faster than the hub listens is not to fill the memory
  if (message.is === 'log' && channel.writableLength > WAITING_BYTES_MAX) return;
  sendOver(channel, message, told);
}

/** An error in the words of the plugin, for people. */
function lost(message: string): Error {
  return Object.assign(new Error(String(message)), { [LOST]: true });
}

function fail(thrown: unknown): void {
  if (hasFailed) return;
  hasFailed = true;
  const error = thrown instanceof Error ? thrown : new Error(`it threw ${String(thrown)}`);
  const isLost = LOST in error;
  const name = isLost || error.name === 'Error' ? '' : `${error.name}: `;
  const message = `${name}${error.message}`;
  tell({ is: 'failed', lost: isLost, message, stack: error.stack ?? '' }, () => {
    if (!(error instanceof SyntaxError)) process.exit(1);
    // only Node.js itself knows the line, and says it on stderr when nobody catches the error
    process.removeAllListeners('uncaughtException');
    setImmediate(() => {
      throw error;
    });
  });
}

/** Why a module is no plugin. */
function shapeProblem(module: Readonly<Record<string, unknown>>): string | undefined {
  const { apiVersion, run, check } = module;
  if (apiVersion === undefined)
    return 'it does not say `export const apiVersion = 1`, so nobody knows what it expects';
  if (apiVersion !== 1) return `it is written for apiVersion ${String(apiVersion)}; this hub has 1`;
  if (typeof run !== 'function') return 'it has no `export async function run(bridge, options)`';
  if (check !== undefined && typeof check !== 'function') return 'its `check` is no function';
  return undefined;
}

async function load(file: string): Promise<Plugin> {
  const module: Readonly<Record<string, unknown>> = await import(pathToFileURL(file).href);
  const problem = shapeProblem(module);
  if (problem !== undefined) throw lost(problem);
  return module as unknown as Plugin; // shapeProblem has looked
}

async function problemsOf(plugin: Plugin, options: unknown): Promise<OptionProblem[]> {
  const found: unknown = (await plugin.check?.(options)) ?? [];
  if (!Array.isArray(found)) throw lost('its `check` must return a list of problems');
  return found.map((problem: unknown) => {
    const isObject = typeof problem === 'object' && problem !== null;
    const path = isObject && 'path' in problem && Array.isArray(problem.path) ? problem.path : [];
    const message = isObject && 'message' in problem ? problem.message : problem;
    const steps = path.map((step: unknown) => (typeof step === 'number' ? step : String(step)));
    return { path: steps, message: String(message) };
  });
}

function optionsError([first, ...others]: readonly OptionProblem[]): Error | undefined {
  if (!first) return undefined;
  const key = ['options', ...first.path].join('.');
  const more = others.length > 0 ? `; ${others.length} more: see \`holdfast check\`` : '';
  return lost(`\`${key}\`: ${first.message}${more}`);
}

async function begin({ mode, id, file, options }: Start): Promise<void> {
  process.title = `holdfast plugin ${id}`;
  const plugin = await load(file);
  const problems = await problemsOf(plugin, options);
  tell({ is: 'loaded' });
  if (mode === 'check') {
    tell({ is: 'checked', problems }, () => process.exit(0));
    return;
  }
  const error = optionsError(problems);
  if (error) throw error;
  end = new BridgeEnd(tell);
  const { signal } = end;
  const bridge: PluginBridge = { id, ...end.api(), lost };
  try {
    await plugin.run(bridge, options);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  tell({ is: 'returned' }, () => process.exit(0));
}

function hear(message: ToPlugin): void {
  if (message.is === 'start') begin(message).catch(fail);
  else if (message.is === 'ping') tell({ is: 'pong' });
  else if (end) end.hear(message);
  else if (message.is === 'stop') process.exit(0);
}

process.on('uncaughtException', fail);
channel.on('error', () => {}); // then it is closed as well
channel.on('close', () => process.exit(1));
channel.on('data', (bytes: Buffer) => {
  for (const message of reader.push(bytes)) hear(message as ToPlugin); // of the hub, who is right
});
