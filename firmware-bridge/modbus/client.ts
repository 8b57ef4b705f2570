/**
 * Asks slaves. The next request may be made when the one before has its answer: the caller sees to
 * that (Turns). The requests are made and the answers taken apart by modbus-serial; what goes
 * over the line and when is ours (rtu-wire.ts, tcp-wire.ts), because the library takes a late
 * answer of RTU for the next one, cuts answers out of noise without looking at their CRC, and can
 * leave a rejected promise to nobody, which ends the process, when a connection breaks.
 */
import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type modbusSerial from 'modbus-serial';
import type { Kind } from './fields.ts';
import { echoRequest } from './frame.ts';
import type { Encoded } from './value.ts';
import type { Wire, WireAnswer } from './wire.ts';

type LibraryClass = typeof modbusSerial.default;

/** What became of one request. `code`: the exception of the slave. */
export type Answer<T> =
  | { readonly kind: 'value'; readonly value: T }
  | { readonly kind: 'exception'; readonly code: number }
  | { readonly kind: 'silent' }
  | { readonly kind: 'garbled'; readonly detail: string };

/**
 * What modbus-serial calls a port. It keeps its transactions by these two numbers: one is enough,
 * since only one request is under way.
 */
class LibraryPort extends EventEmitter {
  readonly isOpen = true;
  _transactionIdRead = 1;
  _transactionIdWrite = 1;
  readonly #send: (request: Buffer) => void;

  constructor(send: (request: Buffer) => void) {
    super();
    this.#send = send;
  }
  open(opened: () => void): void {
    opened();
  }
  write(request: Buffer): void {
    this.#send(request);
  }
}

export class ModbusClient {
  readonly #wire: Wire;
  readonly #library: InstanceType<LibraryClass>;
  readonly #port: LibraryPort;
  #send: (request: Buffer) => void = () => {};

  private constructor(wire: Wire, Library: LibraryClass) {
    this.#wire = wire;
    this.#port = new LibraryPort((request) => this.#send(request));
    this.#library = new Library(this.#port);
    this.#library.open(() => {});
  }

  static async over(wire: Wire): Promise<ModbusClient> {
    const { default: library } = await import('modbus-serial');
    return new ModbusClient(wire, library.default);
  }

  /** `length` addresses from `address`: two bytes a register, or one byte, 0 or 1, a coil. */
  read(unit: number, kind: Kind, address: number, length: number, timeoutMs: number) {
    const at = [unit, address, length] as const;
    return this.#ask<Buffer>(timeoutMs, (library, done) => {
      const registers = taking(done, ({ buffer }: { buffer: Buffer }) => buffer);
      const bits = taking(done, ({ data }: { data: boolean[] }) =>
        Buffer.from(data.slice(0, length).map(Number)),
      );
      switch (kind) {
        case 'coil':
          return library.writeFC1(...at, bits);
        case 'discrete':
          return library.writeFC2(...at, bits);
        case 'holding':
          return library.writeFC3(...at, registers);
        case 'input':
          return library.writeFC4(...at, registers);
      }
    });
  }

  write(
    unit: number,
    address: number,
    value: Encoded & { ok: true },
    multiple: boolean,
    timeoutMs: number,
  ) {
    return this.#ask<true>(timeoutMs, (library, done) => {
      const written = taking(done, () => true as const);
      if (value.is === 'coil') {
        if (multiple) library.writeFC15(unit, address, [value.on], written);
        else library.writeFC5(unit, address, value.on, written);
        return;
      }
      const [first = 0] = value.words;
      if (multiple || value.words.length > 1)
        library.writeFC16(unit, address, [...value.words], written);
      else library.writeFC6(unit, address, first, written);
    });
  }

  /**
   * Whether the slave answers to a question that nothing else can answer: when it does, no answer
   * to an earlier request is still to come. Being refused is such an answer too.
   */
  async echo(unit: number, nonce: number, timeoutMs: number): Promise<Answer<true>> {
    const answer = await this.#wire.exchange(echoRequest(unit, nonce), timeoutMs);
    return answer.kind === 'frame' ? { kind: 'value', value: true } : answer;
  }

  /**
   * The same for a slave that ignores `echo`: asks, throws the answer away, and listens as long
   * again. Had it answered an earlier request, the answer to this one would come now.
   */
  async settle(unit: number, kind: Kind, address: number, length: number, timeoutMs: number) {
    const answer = await this.read(unit, kind, address, length, timeoutMs);
    if (answer.kind === 'silent' || answer.kind === 'garbled') return answer;
    const before = this.#wire.lateAnswers;
    await delay(timeoutMs);
    if (this.#wire.lateAnswers > before)
      return { kind: 'garbled', detail: 'it answers later than its timeout' } as const;
    return { kind: 'value', value: true } as const;
  }

  #ask<T>(
    timeoutMs: number,
    ask: (library: InstanceType<LibraryClass>, done: Done<T>) => void,
  ): Promise<Answer<T>> {
    return new Promise((resolve, reject) => {
      const answered = (answer: WireAnswer) => {
        if (answer.kind === 'frame') this.#port.emit('data', answer.frame);
        else resolve(answer);
      };
      this.#send = (request) => {
        this.#wire.exchange(request, timeoutMs).then(answered).catch(reject);
      };
      ask(this.#library, resolve);
    });
  }
}

type Done<T> = (answer: Answer<T>) => void;

/** The library's callback → an answer. */
function taking<Result, T>(done: Done<T>, pick: (result: Result) => T) {
  return (error: Error | null, result: Result): void => {
    const code = error && 'modbusCode' in error ? error.modbusCode : undefined;
    if (!error) done({ kind: 'value', value: pick(result) });
    else if (typeof code === 'number') done({ kind: 'exception', code });
    else done({ kind: 'garbled', detail: error.message });
  };
}
