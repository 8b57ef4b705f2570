import { isUtf8 } from 'node:buffer';
import type { CommandOrder, CommandOutcome, CommandTaker } from '../../hub/core/command.ts';
import { printable } from '../../hub/core/printable.ts';
import type { Program } from '../child/program.ts';
import { isObject } from '../format/format.ts';

const DETAIL_CHARACTERS_MAX = 300;
/** More answers than these are not late any more. */
const IDS_KEPT = 100;
/** What every answer has in it; other lines are not looked at twice. */
const MARK = Buffer.from('"command"');

export interface OrdersOptions {
  readonly devices: readonly string[] | undefined;
  /** Undefined when the program does not answer. */
  readonly answerTimeoutMs: number | undefined;
}

/**
 * Commands as lines on the stdin of a program: `{"command": <id>, "device": ..., "name": ...,
 * "data": ...}`. The program answers with a line `{"command": <id>, "answer": ...}`, or with
 * `"error"` and a text when it did not do it.
 */
export class Orders implements CommandTaker {
  readonly #options: OrdersOptions;
  #program: Program | undefined;
  /** Of the last commands. A reading may have a field `command` too. */
  readonly #ids = new Set<string>();
  #awaited: { readonly id: string; end(outcome: CommandOutcome): void } | undefined;

  constructor(options: OrdersOptions) {
    this.#options = options;
  }

  owns(device: string, bridgeId: string): boolean {
    return (this.#options.devices ?? [bridgeId]).includes(device);
  }

  /** Undefined: it runs no more. */
  goTo(program: Program | undefined): void {
    this.#program = program;
    if (!program) this.#awaited?.end(failed('the program ended before it answered'));
  }

  /** Whether the line is the answer to a command; nobody may wait for it any more. */
  isAnswer(line: Buffer): boolean {
    if (this.#options.answerTimeoutMs === undefined || !line.includes(MARK)) return false;
    const value = jsonOf(line);
    if (!isObject(value) || typeof value['command'] !== 'string') return false;
    if (value['command'] === this.#awaited?.id) this.#awaited.end(outcomeOf(value));
    return this.#ids.has(value['command']);
  }

  async carryOut(
    order: CommandOrder,
    sent: () => void,
    signal: AbortSignal,
  ): Promise<CommandOutcome> {
    const program = this.#program;
    if (!program) return failed('the program does not run');
    const { answerTimeoutMs } = this.#options;
    const answer = answerTimeoutMs === undefined ? undefined : this.#answer(order.id, signal);
    const written = await Promise.race([program.write(lineOf(order)), aborted(signal)]);
    if (written === 'written' && answer === undefined) return { state: 'sent' };
    if (written !== 'written') {
      this.#awaited?.end(failed('')); // nobody waits for it
      return failed(WHY_NOT_WRITTEN[written]);
    }
    sent();
    const timer = setTimeout(() => {
      const detail = `the program did not answer within ${answerTimeoutMs} ms`;
      this.#awaited?.end(failed(detail));
    }, answerTimeoutMs);
    try {
      return (await answer) ?? { state: 'sent' };
    } finally {
      clearTimeout(timer);
    }
  }

  #answer(id: string, signal: AbortSignal): Promise<CommandOutcome> {
    this.#ids.add(id);
    for (const oldest of this.#ids) if (this.#ids.size > IDS_KEPT) this.#ids.delete(oldest);
    return new Promise((resolve) => {
      const end = (outcome: CommandOutcome) => {
        this.#awaited = undefined;
        signal.removeEventListener('abort', onAbort);
        resolve(outcome);
      };
      const onAbort = () => end(failed('no answer came before its time was over'));
      this.#awaited = { id, end };
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

const WHY_NOT_WRITTEN = {
  full: 'the program does not read its stdin',
  aborted: 'the program did not read its stdin before its time was over; it may still do it',
  ended: 'the program has closed its stdin or ended',
} as const;

const failed = (detail: string): CommandOutcome => ({ state: 'failed', detail });

function aborted(signal: AbortSignal): Promise<'aborted'> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve('aborted');
    signal.addEventListener('abort', () => resolve('aborted'), { once: true });
  });
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

/** The data as JSON where it is some, else as text, else in base64. */
function lineOf({ id, device, name, payload }: CommandOrder): string {
  const about = { command: id, device, name };
  if (payload.length === 0) return `${JSON.stringify(about)}\n`;
  if (!isUtf8(payload))
    return `${JSON.stringify({ ...about, dataBase64: payload.toString('base64') })}\n`;
  return `${JSON.stringify({ ...about, data: jsonOf(payload) ?? payload.toString() })}\n`;
}

function outcomeOf(value: Readonly<Record<string, unknown>>): CommandOutcome {
  const { answer, error } = value;
  if (error !== undefined)
    return failed(
      printable(typeof error === 'string' ? error : asJson(error), DETAIL_CHARACTERS_MAX),
    );
  if (answer === undefined) return { state: 'done' };
  return {
    state: 'done',
    answer: Buffer.from(typeof answer === 'string' ? answer : asJson(answer)),
  };
}

const asJson = (value: unknown) => JSON.stringify(value);
