import type { OptionProblem } from '../../hub/core/bridge.ts';
import { describeError } from '../../hub/core/errors.ts';
import { describeFailure } from './failure.ts';
import { type PluginOptions, PluginProcess } from './plugin-process.ts';
import type { Failed } from './protocol.ts';

/** As many as fit a screen. */
const PROBLEMS_MAX = 20;

/** What is wrong with a plugin or, by its own word, with its options. Runs its file. */
export async function checkPlugin(
  options: PluginOptions,
  signal: AbortSignal,
): Promise<readonly OptionProblem[]> {
  const { file, heap_max } = options;
  let found: OptionProblem[] | undefined;
  let failed: Failed | undefined;
  let child: PluginProcess | undefined;
  try {
    child = await PluginProcess.start('check', 'check', options, {
      hear(message) {
        if (message.is === 'failed') failed = message;
        if (message.is === 'checked')
          found = message.problems
            .slice(0, PROBLEMS_MAX)
            .map(({ path, message }) => ({ path: ['options', ...path], message }));
      },
      line: () => {},
    });
    const { hints } = child;
    const end = await Promise.race([child.ended, child.stuck, aborted(signal)]);
    if (found) return found;
    const plugin = { file, failed, returned: false, end, hints, heapBytesMax: heap_max };
    return [{ path: ['file'], message: describeFailure(plugin) }];
  } catch (error) {
    return [{ path: ['file'], message: describeError(error) }];
  } finally {
    await child?.stop();
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
  });
}
