import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';

const PLUG = '/dev/virtio-ports/plug';
const CABLE = '/dev/virtio-ports/cable';
/** As ../machine.ts names it. */
const ADAPTER = 'adapter';

/**
 * The USB serial adapter of the machine, from the other side: plugs it in and out, as QEMU does at
 * the request of QMP, and writes to it.
 */
export class UsbAdapter {
  readonly #plug = openSync(PLUG, 'r+');
  readonly #cable = openSync(CABLE, 'r+');
  readonly #reader: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor() {
    // a thread that reads a device cannot be stopped; a program can
    this.#reader = spawn('cat', [], { stdio: [this.#plug, 'pipe', 'inherit'] });
    const { stdout } = this.#reader;
    if (!stdout) throw new Error('no pipe');
    this.#answers = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  async ready(): Promise<void> {
    await this.#execute('qmp_capabilities');
  }

  /** Resolves when the machine has noticed. */
  async pullOut(): Promise<void> {
    await this.#execute('device_del', { id: ADAPTER });
    await this.#until((answer) => answer['event'] === 'DEVICE_DELETED');
  }

  async plugIn(): Promise<void> {
    await this.#execute('device_add', { driver: 'usb-serial', chardev: ADAPTER, id: ADAPTER });
  }

  write(text: string): void {
    writeSync(this.#cable, text);
  }

  async close(): Promise<void> {
    this.#reader.kill();
    await once(this.#reader, 'close');
    closeSync(this.#plug);
    closeSync(this.#cable);
  }

  async #execute(command: string, given: Readonly<Record<string, string>> = {}): Promise<void> {
    writeSync(this.#plug, `${JSON.stringify({ execute: command, arguments: given })}\n`);
    const answer = await this.#until((candidate) => 'return' in candidate || 'error' in candidate);
    if ('error' in answer) throw new Error(`${command}: ${JSON.stringify(answer['error'])}`);
  }

  async #until(
    wanted: (answer: Readonly<Record<string, unknown>>) => boolean,
  ): Promise<Readonly<Record<string, unknown>>> {
    for (;;) {
      const { value, done } = await this.#answers.next();
      if (done) throw new Error('QMP has ended');
      const answer = JSON.parse(value);
      if (wanted(answer)) return answer;
    }
  }
}
