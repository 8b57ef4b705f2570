import { read } from 'node:fs';
import { promisify } from 'node:util';

const readFile = promisify(read);

/** What is open inside of the library's port, on Linux and macOS. */
interface OpenBinding {
  readonly fd: number | null;
  readonly poller: { once(event: 'readable', callback: (error: Error | null) => void): unknown };
  read(buffer: Buffer, offset: number, length: number): Promise<unknown>;
  close(): Promise<void>;
}

function isOpenBinding(value: object): value is OpenBinding {
  return 'fd' in value && 'poller' in value && 'read' in value && 'close' in value;
}

/** Not there is what the library calls `canceled`: it was closed by us. */
const closedByUs = () => Object.assign(new Error('the port is closed'), { canceled: true });

/**
 * Makes a port that was unplugged end, and one that is closed in the middle of a read no crash.
 *
 * serialport 13 takes a read of zero bytes for "nothing yet" and reads again at once. But a
 * terminal that has hung up, which is what Linux makes of an adapter that was pulled out, answers
 * zero bytes for ever. When data came in the same moment, nobody ever hears of the loss, and a
 * processor is busy with it. (With O_NONBLOCK and VMIN 1, as the library sets them, nothing yet is
 * EAGAIN.)
 *
 * Nor does it wait for a read before it closes: the number of the file may be another file's by
 * then, and asking the poller that it has destroyed ends the whole process (SIGSEGV).
 */
export function endAtHangUp(binding: object | undefined): void {
  if (!binding || !isOpenBinding(binding)) return;
  const close = binding.close.bind(binding);
  let reading: Promise<unknown> = Promise.resolve();
  let isClosing = false;
  binding.close = async () => {
    isClosing = true;
    await reading.catch(() => {}); // never for long: the port does not block
    await close();
  };
  binding.read = async (buffer, offset, length) => {
    for (;;) {
      const { fd } = binding;
      if (isClosing || fd === null) throw closedByUs();
      try {
        const started = readFile(fd, buffer, offset, length, null);
        reading = started;
        const { bytesRead } = await started;
        if (bytesRead > 0) return { buffer, bytesRead };
      } catch (error) {
        if (!isNothingYet(error)) throw error;
        if (isClosing) throw closedByUs();
        await readable(binding);
        continue;
      }
      if (isClosing) throw closedByUs();
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
