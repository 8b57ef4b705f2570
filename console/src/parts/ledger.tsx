import type { Status } from '../../../hub/core/status.ts';
import { formatExact } from '../format.ts';
import { type Account, ledgerOf, sourcesOf, type Term } from '../ledger.ts';
import { Pill } from './pill.tsx';

function TermText({ term, sign }: { term: Term; sign: string }) {
  return (
    <li class={`term ${term.tone ?? ''}`}>
      <span class="term-sign">{sign} </span>
      <b>{formatExact(term.events)}</b> {term.name}
    </li>
  );
}

function AccountRow({ account, name }: { account: Account; name: string }) {
  const { events, terms, difference } = account;
  return (
    <li class="account" data-account={account.id}>
      <span class="account-name">{name}</span>
      <ul class="terms">
        <TermText term={{ name: 'events', events }} sign="" />
        {terms.map((term, i) => (
          <TermText key={term.name} term={term} sign={i === 0 ? '=' : '+'} />
        ))}
      </ul>
      {difference === 0 ? (
        <Pill tone="good">adds up</Pill>
      ) : (
        <Pill tone="bad" title="Please report this: every event should be accounted for.">
          off by {formatExact(difference)}
        </Pill>
      )}
    </li>
  );
}

/** Where every event is: received = delivered + queued + lost, for each sink. */
export function Ledger({ status }: { status: Status }) {
  const [received, ...sinks] = ledgerOf(status);
  const sources = sourcesOf(status.log).slice(0, 4); // one line; the rest is in the status
  return (
    <section class="panel ledger" aria-label="Ledger">
      <div class="ledger-head">
        <h2>Ledger</h2>
        <p>
          {sources.length === 0
            ? 'every event is accounted for, since the log was created'
            : `from ${sources.map(({ name, events }) => `${name} ${formatExact(events)}`).join(', ')}`}
        </p>
      </div>
      <ul class="accounts">
        {received && <AccountRow account={received} name="Received" />}
        {sinks.map((account) => (
          <AccountRow key={account.id} account={account} name={account.id} />
        ))}
      </ul>
    </section>
  );
}
