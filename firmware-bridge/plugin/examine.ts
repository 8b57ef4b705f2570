import type { Finding } from '../../hub/core/finding.ts';
import { checkPlugin } from './check.ts';
import type { PluginOptions } from './plugin-process.ts';

/** See BridgeSpec. */
export async function examine(options: PluginOptions, signal: AbortSignal): Promise<Finding[]> {
  const subject = `plugin ${options.file}`;
  const problems = await checkPlugin(options, signal);
  if (problems.length === 0)
    return [{ severity: 'ok', subject, detail: 'it loads, and takes its options' }];
  return problems.map(({ path, message }) => ({
    severity: 'problem',
    subject,
    detail: path.length > 1 ? `${path.join('.')}: ${message}` : message,
    remedy:
      path[0] === 'file'
        ? 'Correct the plugin; docs/plugin.md says what it must have.'
        : 'Correct its options in the configuration.',
  }));
}
