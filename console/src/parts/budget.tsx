import type { GovernorStatus } from '../../../hub/core/status.ts';
import { budgetBars, budgetNotes } from '../budget-view.ts';

/** What the sink has sent of what it may, while it has a budget. */
export function Budget({ governor, nowMs }: { governor: GovernorStatus; nowMs: number }) {
  const notes = budgetNotes(governor);
  return (
    <div class="budget">
      {budgetBars(governor, nowMs).map(({ name, share, tone, text }) => (
        <p key={name} class={`budget-bar ${tone}`}>
          <progress max={1} value={share} aria-label={`Budget of the ${name}`} />
          <span>{text}</span>
        </p>
      ))}
      {notes && <p class="budget-notes">{notes}</p>}
    </div>
  );
}
