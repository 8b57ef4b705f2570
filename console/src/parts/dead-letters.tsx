import { type Signal, useSignal, useSignalEffect } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type { DeadLetterPage, DeadLetterSummary, SinkStatus } from '../../../hub/core/status.ts';
import type { LetterChoice } from '../api.ts';
import { type LetterList, letterList, lettersText } from '../dead-letters.ts';
import { formatClock, formatExact } from '../format.ts';
import { api, hubMs, status } from '../store.ts';

interface DiscardProps {
  readonly label: string;
  readonly question: string;
  readonly disabled: boolean;
  onDiscard(): void;
}

/** Asks once more, in place: what is discarded is lost. */
function Discard({ label, question, disabled, onDiscard }: DiscardProps) {
  const asking = useSignal(false);
  if (!asking.value)
    return (
      <button type="button" disabled={disabled} onClick={() => (asking.value = true)}>
        {label}
      </button>
    );
  const decide = (yes: boolean) => {
    asking.value = false;
    if (yes) onDiscard();
  };
  return (
    <span class="letters-sure">
      <span>{question}</span>
      <button type="button" class="bad" disabled={disabled} onClick={() => decide(true)}>
        Discard
      </button>
      <button type="button" onClick={() => decide(false)}>
        Keep
      </button>
    </span>
  );
}

function Letter({ letter, list }: { letter: DeadLetterSummary; list: LetterList }) {
  const { number, topic, reason, response, attempts, rejectedMs, retrying, excerpt } = letter;
  const only: LetterChoice = [number];
  return (
    <li class="letter" data-letter={number}>
      <p class="letter-head">
        <strong>{topic}</strong>
        <span>
          {formatClock(rejectedMs, hubMs.value)} · {formatExact(attempts)}{' '}
          {attempts === 1 ? 'attempt' : 'attempts'}
        </span>
      </p>
      <p class="letter-reason">{reason}</p>
      {response !== null && !reason.includes(response) && <p class="letter-answer">{response}</p>}
      <p class="letter-payload" title={`${letter.payloadBytes} bytes, ${letter.eventId}`}>
        {excerpt}
      </p>
      <p class="letter-actions">
        {retrying ? (
          <span class="letter-waits">Waits to be sent again</span>
        ) : (
          <button type="button" disabled={list.busy.value} onClick={() => list.retry(only)}>
            Send again
          </button>
        )}
        <Discard
          label="Discard"
          question="Lost for good?"
          disabled={list.busy.value}
          onDiscard={() => list.discard(only)}
        />
      </p>
    </li>
  );
}

function Letters({ page, list }: { page: DeadLetterPage; list: LetterList }) {
  const { total, letters, retries, next } = page;
  if (total === 0) return <p class="letters-note">There are none any more.</p>;
  return (
    <>
      <p class="letters-actions">
        <button type="button" disabled={list.busy.value} onClick={() => list.retry('all')}>
          Send all again
        </button>
        <Discard
          label="Discard all"
          question={`${lettersText(total)}: lost for good?`}
          disabled={list.busy.value}
          onDiscard={() => list.discard('all')}
        />
        {retries.waiting > 0 && <span>{lettersText(retries.waiting)} wait to be sent again</span>}
      </p>
      <ul class="letters-list">
        {letters.map((letter) => (
          <Letter key={letter.number} letter={letter} list={list} />
        ))}
      </ul>
      {next !== null && (
        <p class="letters-actions">
          <button type="button" onClick={() => list.more()}>
            Show more of {formatExact(total)}
          </button>
        </p>
      )}
    </>
  );
}

function LettersDialog({ sink, open }: { sink: string; open: Signal<boolean> }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const list = useMemo(() => letterList(api, sink), [sink]);
  useEffect(() => dialog.current?.showModal(), []);
  useSignalEffect(() => {
    status.value; // each status may bring another letter, or take one away
    void list.refresh();
  });
  const page = list.page.value;
  return (
    <dialog
      ref={dialog}
      class="letters"
      aria-label={`Dead letters of ${sink}`}
      onClose={() => (open.value = false)}
    >
      <div class="letters-head">
        <h3>Dead letters of {sink}</h3>
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </div>
      <p class="letters-note">
        The far side will not take these events. Mend what the reason says, then send them again.
      </p>
      <p class="letters-message" role="status">
        {list.message.value}
      </p>
      {page ? <Letters page={page} list={list} /> : <p class="letters-note">Loading…</p>}
    </dialog>
  );
}

/** How many dead letters a sink has; opens the list of them. */
export function DeadLetters({ sink }: { sink: SinkStatus }) {
  const open = useSignal(false);
  return (
    <>
      {sink.deadLetters > 0 && (
        <p class="letters-open">
          <button type="button" onClick={() => (open.value = true)}>
            Look at {lettersText(sink.deadLetters)}
          </button>
        </p>
      )}
      {open.value && <LettersDialog sink={sink.id} open={open} />}
    </>
  );
}
