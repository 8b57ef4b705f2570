import type { CommandOrder, CommandOutcome, CommandTaker } from '../../hub/core/command.ts';
import { printable } from '../../hub/core/printable.ts';
import type { FromPlugin, ToPlugin } from './protocol.ts';

const DETAIL_CHARACTERS_MAX = 300;

interface Pending {
  readonly id: string;
  readonly sent: () => void;
  end(outcome: CommandOutcome): void;
}

/** Commands for the devices that the plugin has named. */
export class PluginOrders implements CommandTaker {
  /** Undefined until the plugin has said, or has had its time to. */
  #devices: ReadonlySet<string> | undefined;
  #tell: ((message: ToPlugin) => void) | undefined;
  #pending: Pending | undefined;

  owns(device: string): boolean | undefined {
    return this.#devices?.has(device);
  }

  /** Undefined: the plugin does not run. Its devices remain its own. */
  goTo(tell: ((message: ToPlugin) => void) | undefined): void {
    this.#tell = tell;
    if (!tell) this.#pending?.end(failed('the plugin ended before it answered'));
  }

  /** It reads, or has failed: what it has not named by now is not its own. */
  settle(): void {
    this.#devices ??= new Set();
  }

  hear(message: FromPlugin): void {
    if (message.is === 'commands') this.#devices = new Set(message.devices);
    const pending = this.#pending;
    if (!pending || !('id' in message) || message.id !== pending.id) return;
    if (message.is === 'sent') pending.sent();
    if (message.is === 'refused')
      pending.end(failed(printable(message.detail, DETAIL_CHARACTERS_MAX)));
    if (message.is === 'done')
      pending.end({
        state: 'done',
        ...(message.answer && { answer: Buffer.from(message.answer) }),
      });
  }

  async carryOut(
    { id, device, name, payload }: CommandOrder,
    sent: () => void,
    signal: AbortSignal,
  ): Promise<CommandOutcome> {
    const tell = this.#tell;
    if (!tell) return failed('the plugin does not run');
    return await new Promise((resolve) => {
      const onAbort = () => {
        tell({ is: 'abandon', id });
        this.#pending?.end(failed('no answer came before its time was over'));
      };
      const end = (outcome: CommandOutcome) => {
        this.#pending = undefined;
        signal.removeEventListener('abort', onAbort);
        resolve(outcome);
      };
      this.#pending = { id, sent, end };
      signal.addEventListener('abort', onAbort, { once: true });
      tell({ is: 'order', id, device, name, payload });
      if (signal.aborted) onAbort();
    });
  }
}

const failed = (detail: string): CommandOutcome => ({ state: 'failed', detail });
