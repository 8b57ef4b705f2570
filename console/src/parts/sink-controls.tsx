import { useSignal } from '@preact/signals';
import type { SinkStatus } from '../../../hub/core/status.ts';
import { formatExact } from '../format.ts';
import { api } from '../store.ts';

type Instruction = () => Promise<unknown>;

/** Pause, resume and skip. What is told shows in the next status; what went wrong is said here. */
export function SinkControls({ sink }: { sink: SinkStatus }) {
  const busy = useSignal(false);
  const asking = useSignal(false);
  const message = useSignal('');
  const tell = async (instruction: Instruction) => {
    busy.value = true;
    asking.value = false;
    message.value = '';
    try {
      await instruction();
    } catch (error) {
      message.value = error instanceof Error ? error.message : String(error);
    } finally {
      busy.value = false;
    }
  };
  const isPaused = sink.state === 'paused';
  return (
    <div class="controls">
      {asking.value ? (
        <SkipQuestion
          sink={sink}
          onSkip={(to) => void tell(() => api.skip(sink.id, to))}
          onKeep={() => (asking.value = false)}
        />
      ) : (
        <p class="controls-row">
          <button
            type="button"
            disabled={busy.value}
            onClick={() => void tell(() => api.operate(sink.id, isPaused ? 'resume' : 'pause'))}
          >
            {isPaused ? 'Resume' : 'Pause'}
          </button>
          {sink.lagEvents > 0 && (
            <button type="button" disabled={busy.value} onClick={() => (asking.value = true)}>
              Skip…
            </button>
          )}
        </p>
      )}
      <p class="controls-message" role="status">
        {message.value}
      </p>
    </div>
  );
}

interface SkipQuestionProps {
  readonly sink: SinkStatus;
  onSkip(to: { events: number } | { to: 'now' }): void;
  onKeep(): void;
}

/** Asks once more, in place: this sink is never sent what it skips. */
function SkipQuestion({ sink, onSkip, onKeep }: SkipQuestionProps) {
  const count = formatExact(sink.lagEvents);
  return (
    <div class="controls-question">
      <p>
        {sink.id} is not sent what it skips. The events stay in the log, and a replay can still send
        them.
      </p>
      <p class="controls-row">
        <button type="button" class="bad" onClick={() => onSkip({ events: 1 })}>
          Skip the next event
        </button>
        <button type="button" class="bad" onClick={() => onSkip({ to: 'now' })}>
          {sink.lagEvents === 1 ? 'Skip the one that waits' : `Skip all ${count} that wait`}
        </button>
        <button type="button" onClick={onKeep}>
          Keep
        </button>
      </p>
    </div>
  );
}
