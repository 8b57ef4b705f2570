/**
 * In the place of a hub that is killed: starts the program of its arguments, writes what the
 * program prints, and lives until somebody ends it.
 */
import { startProgram } from '../../firmware-bridge/child/program.ts';

const [command = '', ...args] = process.argv.slice(2);
const program = await startProgram({ command, args });
setInterval(() => {}, 60_000);
for await (const { lines } of program.batches())
  for (const line of lines) process.stdout.write(`${line}\n`);
