import { batch, type ReadonlySignal, signal } from '@preact/signals';
import type { DeadLetterPage } from '../../hub/core/status.ts';
import { type Api, ApiError, type LetterChoice } from './api.ts';
import { formatExact } from './format.ts';

/** Letters a person looks at before asking for more. */
const STEP = 20;
/** What the hub answers at once. */
const SHOWN_MAX = 500;

/** What the list of one sink's dead letters shows, and what can be done with it. */
export interface LetterList {
  /** Undefined until it has been loaded. */
  readonly page: ReadonlySignal<DeadLetterPage | undefined>;
  /** What has been done, or what went wrong: one sentence. */
  readonly message: ReadonlySignal<string>;
  /** An instruction is on its way: nothing else can be asked for. */
  readonly busy: ReadonlySignal<boolean>;
  /** Loads what is shown again. Never rejects. */
  refresh(): Promise<void>;
  more(): Promise<void>;
  retry(choice: LetterChoice): Promise<void>;
  discard(choice: LetterChoice): Promise<void>;
}

export function lettersText(count: number): string {
  return `${formatExact(count)} ${count === 1 ? 'dead letter' : 'dead letters'}`;
}

function reasonOf(error: unknown): string {
  return error instanceof ApiError ? error.message : 'The hub cannot be reached.';
}

export function letterList(
  api: Pick<Api, 'deadLetters' | 'retryDeadLetters' | 'discardDeadLetters'>,
  sink: string,
): LetterList {
  const page = signal<DeadLetterPage | undefined>(undefined);
  const message = signal('');
  const busy = signal(false);
  let limit = STEP;
  let asked = 0;

  async function refresh(): Promise<void> {
    const mine = ++asked;
    try {
      const found = await api.deadLetters(sink, limit, new AbortController().signal);
      if (mine === asked) page.value = found; // else a newer answer is on its way
    } catch (error) {
      if (mine === asked) message.value = reasonOf(error);
    }
  }

  async function instruct(work: () => Promise<string>): Promise<void> {
    if (busy.value) return;
    busy.value = true;
    let said: string;
    try {
      said = await work();
    } catch (error) {
      said = reasonOf(error);
    }
    await refresh();
    batch(() => {
      message.value = said;
      busy.value = false;
    });
  }

  return {
    page,
    message,
    busy,
    refresh,
    async more() {
      limit = Math.min(limit + STEP, SHOWN_MAX);
      await refresh();
    },
    retry: (choice) =>
      instruct(async () => {
        const { retried } = await api.retryDeadLetters(sink, choice);
        return `${lettersText(retried)} will be sent again. What is refused again stays here.`;
      }),
    discard: (choice) =>
      instruct(async () => {
        const { discarded, underWay } = await api.discardDeadLetters(sink, choice);
        const left = underWay > 0 ? ` ${underWay} are being sent right now and were left.` : '';
        return `${lettersText(discarded)} discarded; the ledger counts them as lost.${left}`;
      }),
  };
}
