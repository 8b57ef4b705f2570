/**
 * Runs a command in the guest, with what dist holds now, and ends with its exit code:
 * `node dist/tests/pi-vm/shell.js 'gpiodetect; ls /sys/bus/i2c/devices'`. Without a command: a
 * shell to type at; `exit` powers off.
 */
import { Machine } from './machine.ts';

const COMMAND_MS_MAX = 10 * 60_000;
const SESSION_MS_MAX = 12 * 60 * 60_000;
/** cttyhack gives the shell the console, so that Ctrl-C works. */
const SHELL = 'setsid cttyhack sh';

const command = process.argv.slice(2).join(' ');
const interactive = command === '';
if (interactive && process.stdin.isTTY) process.stdin.setRawMode(true);
const machine = new Machine({
  command: interactive ? SHELL : command,
  timeoutMs: interactive ? SESSION_MS_MAX : COMMAND_MS_MAX,
  interactive,
  onConsole: (text) => process.stdout.write(text),
});
let exitCode = 70;
for await (const report of machine.run()) if (report.type === 'exit') exitCode = report.code;
const { fetchMs, packMs, runMs } = machine.timing;
const seconds = [fetchMs, packMs, runMs].map((ms) => (ms / 1000).toFixed(1));
process.stderr.write(
  `fetched in ${seconds[0]} s, packed in ${seconds[1]} s, ran ${seconds[2]} s\n`,
);
process.exitCode = exitCode;
