import type { Finding } from '../../hub/core/finding.ts';
import { programEnvironment } from '../child/environment.ts';
import { examineProgram } from '../child/examine.ts';
import type { ExecOptions } from './spec.ts';

/** See BridgeSpec. */
export async function examine({ command, env, working_dir }: ExecOptions): Promise<Finding[]> {
  const [program = ''] = command;
  const path = env['PATH']?.reveal() ?? programEnvironment()['PATH'];
  return [await examineProgram({ command: program, cwd: working_dir, path })];
}
