/**
 * A PC of QEMU with a real Linux kernel, in which one command runs. It is emulated instruction by
 * instruction: hardware virtualisation is there on few machines that run tests. It has one
 * processor: of two, a busy host would stop one while the other runs on, and the kernel in there
 * would lose edges before anybody could read them. That no real machine does.
 *
 * Its wires: the first serial line is the console, the second one brings reports to the host. The
 * guest finds more in /dev/virtio-ports: `cable` is the far end of a USB serial adapter, `plug`
 * is QMP, with which it plugs that adapter in and out, as `adapter` (chardev `adapter`).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { UndoStack } from '../power-cut/undo-stack.ts';
import { type GuestParts, guestParts } from './guest-parts.ts';
import { writeGuestRoot } from './guest-root.ts';
import { type GuestReport, parseReport } from './report.ts';

export const QEMU = 'qemu-system-x86_64';
const MEMORY = '1024M';
/** What a failure shows of the console. */
const CONSOLE_TAIL_CHARACTERS = 8_000;

export interface MachineOptions {
  /** A line of shell, or several. */
  readonly command: string;
  readonly timeoutMs: number;
  /** Where the console goes besides `tail`. */
  readonly onConsole?: (text: string) => void;
  /** The console can be typed at. */
  readonly interactive?: boolean;
}

export interface Timing {
  readonly fetchMs: number;
  readonly packMs: number;
  /** From the start of QEMU to its end. */
  runMs: number;
}

export class Machine {
  /** The end of what the console has shown. */
  tail = '';
  readonly timing: Timing;
  readonly #undo = new UndoStack();
  readonly #folder: string;
  readonly #parts: GuestParts;
  readonly #options: MachineOptions;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.#parts = guestParts();
    const startMs = performance.now();
    this.#folder = mkdtempSync(join(tmpdir(), 'holdfast-pi-vm-'));
    this.#undo.add(() => rmSync(this.#folder, { recursive: true }));
    writeGuestRoot(join(this.#folder, 'root.cpio'), this.#parts, options.command);
    const packMs = performance.now() - startMs;
    this.timing = { fetchMs: this.#parts.fetchMs, packMs, runMs: 0 };
  }

  /** Boots, and yields what the guest reports until it is off. Can be used once. */
  async *run(): AsyncGenerator<GuestReport> {
    const startMs = performance.now();
    const server = createServer();
    try {
      server.listen(join(this.#folder, 'reports'));
      await once(server, 'listening');
      const connected = once(server, 'connection');
      const ended = this.#start();
      const socket = await Promise.race([connected, ended]).then(([first]) => first);
      if (typeof socket === 'object' && socket !== null)
        for await (const line of createInterface({ input: socket })) {
          const report = parseReport(line);
          if (report) yield report;
        }
      await ended;
    } finally {
      this.timing.runMs = performance.now() - startMs;
      server.close();
      this.#undo.undo();
    }
  }

  /** Resolves when QEMU has ended. */
  #start(): Promise<unknown[]> {
    const child = spawn(QEMU, this.#arguments(), {
      stdio: [this.#options.interactive ? 'inherit' : 'ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#undo.add(() => killGroup(child));
    const timer = setTimeout(() => {
      this.#show(`\n-- stopped: not off after ${this.#options.timeoutMs} ms --\n`);
      killGroup(child);
    }, this.#options.timeoutMs);
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => this.#show(text));
    child.on('error', (error) => this.#show(`${error.message}\n`));
    return once(child, 'close').finally(() => clearTimeout(timer));
  }

  #show(text: string): void {
    this.tail = (this.tail + text).slice(-CONSOLE_TAIL_CHARACTERS);
    this.#options.onConsole?.(text);
  }

  #arguments(): string[] {
    const socket = (id: string, name: string, more = '') => [
      '-chardev',
      `socket,id=${id},path=${join(this.#folder, name)}${more}`,
    ];
    const server = ',server=on,wait=off';
    return [
      ...['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max'],
      ...['-m', MEMORY, '-display', 'none', '-no-reboot', '-nic', 'none', '-no-user-config'],
      ...['-kernel', this.#parts.kernel, '-initrd', join(this.#folder, 'root.cpio')],
      ...['-append', 'console=ttyS0 quiet panic=-1'],
      ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
      ...socket('reports', 'reports'),
      ...['-serial', 'chardev:reports'],
      // each wire is two ends of one socket, both in QEMU
      ...socket('plug', 'plug', server),
      ...['-mon', 'chardev=plug,mode=control'],
      ...socket('plug-guest', 'plug'),
      ...socket('cable', 'cable', server),
      ...socket('adapter', 'cable'),
      ...['-device', 'virtio-serial'],
      ...['-device', 'virtserialport,chardev=plug-guest,name=plug'],
      ...['-device', 'virtserialport,chardev=cable,name=cable'],
      ...['-device', 'qemu-xhci', '-device', 'usb-serial,chardev=adapter,id=adapter'],
    ];
  }
}

function killGroup({ pid, exitCode, signalCode }: ChildProcess): void {
  if (pid === undefined || exitCode !== null || signalCode !== null) return;
  process.kill(-pid, 'SIGKILL');
}
