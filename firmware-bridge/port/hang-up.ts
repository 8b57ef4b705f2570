import { read } from 'node:fs';
import { promisify } from 'node:util';

const readFile = promisify(read);

/** What is open inside of the library's port, on Linux and macOS. */
interface OpenBinding {
  readonly fd: number | null;
  readonly isOpen: boolean;
  readonly poller: { once(event: 'readable', callback: (error: Error | null) => void): unknown };
  read(buffer: Buffer, offset: number, length: number): Promise<unknown>;
}

function isOpenBinding(value: object): value is OpenBinding {
  return 'fd' in value && 'poller' in value && 'read' in value;
}

/** Not there is what the library calls `canceled`: it was closed by us. */
const closedByUs = () => Object.assign(new Error('the port is closed'), { canceled: true });

/**
 * Makes a port that was unplugged end.
 *
 * serialport 13 takes a read of zero bytes for "nothing yet" and reads again at once. But a
 * terminal that has hung up, which is what Linux makes of an adapter that was pulled out, answers
 * zero bytes for ever. When data came in the same moment, nobody ever hears of the loss, and a
 * processor is busy with it. (With O_NONBLOCK and VMIN 1, as the library sets them, nothing yet is
 * EAGAIN.)
 */
export function endAtHangUp(binding: object | undefined): void {
  if (!binding || !isOpenBinding(binding)) return;
  binding.read = async (buffer, offset, length) => {
    for (;;) {
      const { fd } = binding;
      if (!binding.isOpen || fd === null) throw closedByUs();
      try {
        const { bytesRead } = await readFile(fd, buffer, offset, length, null);
        if (bytesRead > 0) return { buffer, bytesRead };
      } catch (error) {
        if (!isNothingYet(error)) throw error;
        await readable(binding);
        continue;
      }
      if (!binding.isOpen) throw closedByUs();
      throw new Error('the port has hung up');
    }
  };
}

function isNothingYet(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'EAGAIN' || code === 'EWOULDBLOCK' || code === 'EINTR';
}

function readable({ poller }: OpenBinding): Promise<void> {
  return new Promise((resolve, reject) => {
    poller.once('readable', (error) => (error ? reject(error) : resolve()));
  });
}
