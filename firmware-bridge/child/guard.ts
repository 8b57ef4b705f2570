/**
 * Sees to it that no program outlives the hub, however the hub ends.
 *
 * Invariants:
 * - one small shell for all programs; it is told of each process group when the group begins and
 *   when it has ended, and when its input ends, because the hub has ended, it kills those left;
 * - it has a session of its own, so that nothing that ends the hub from a terminal ends it first.
 *
 * Why not PR_SET_PDEATHSIG (`setpriv --pdeathsig`): the kernel does not hand it on to what the
 * program itself starts, forgets it when a set-user-id program is run, and sends it when the
 * *thread* that started the program ends. What no guard reaches is a program that leaves its group
 * (a daemon); systemd ends that with the hub's control group, where the hub runs as a service.
 */
import { type ChildProcess, spawn } from 'node:child_process';

/** Only what is built into every shell: the guard must not depend on a PATH. */
const SCRIPT = `
trap '' HUP INT QUIT TERM
groups=' '
while read -r change group; do
  case $change in
    +) groups="$groups$group " ;;
    -) groups="\${groups%% $group *} \${groups#* $group }" ;;
  esac
done
for group in $groups; do
  kill -s KILL -- "-$group" 2>/dev/null
done
`;

class Guard {
  readonly #groups = new Set<number>();
  #shell: ChildProcess | undefined;

  /** From now on this process group ends with the hub. */
  add(group: number): void {
    this.#groups.add(group);
    if (this.#shell) this.#tell(`+ ${group}\n`);
    else this.#start();
  }

  /** The group has ended: its number may soon be somebody else's. */
  remove(group: number): void {
    if (this.#groups.delete(group)) this.#tell(`- ${group}\n`);
  }

  #start(): void {
    const shell = spawn('/bin/sh', ['-c', SCRIPT], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      cwd: '/',
      env: {},
    });
    this.#shell = shell;
    const forget = () => {
      if (this.#shell === shell) this.#shell = undefined; // the next program starts another
    };
    shell.on('error', forget);
    shell.on('exit', forget);
    shell.stdin.on('error', forget);
    shell.unref();
    // it waits for the end of the hub: the hub must not wait for it
    if ('unref' in shell.stdin && typeof shell.stdin.unref === 'function') shell.stdin.unref();
    for (const group of this.#groups) this.#tell(`+ ${group}\n`);
  }

  #tell(line: string): void {
    this.#shell?.stdin?.write(line);
  }
}

/** One for the process, since it is the process that ends. */
export const guard = new Guard();
