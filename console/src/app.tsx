import { useSignalEffect } from '@preact/signals';
import { BridgeMessages } from './parts/bridges.tsx';
import { Flow } from './parts/flow.tsx';
import { Header } from './parts/header.tsx';
import { Ledger } from './parts/ledger.tsx';
import { Notice } from './parts/notice.tsx';
import { Readings } from './parts/readings.tsx';
import { TokenForm } from './parts/token-form.tsx';
import { Vitals } from './parts/vitals.tsx';
import { connection, staleMs, status } from './store.ts';

/** The tab says it too: a console is often one of many tabs. */
function titleOf(): string {
  const hub = status.value?.hub;
  if (!hub) return 'Holdfast';
  const worry = staleMs.value > 0 || hub.problems.length > 0 || !hub.ready;
  return `${worry ? '⚠ ' : ''}${hub.id} · Holdfast`;
}

export function App({ onToken }: { onToken(token: string): void }) {
  useSignalEffect(() => {
    document.title = titleOf();
  });
  const link = connection.value;
  const locked = link.kind === 'locked';
  return (
    <>
      <a class="skip" href="#readings">
        Skip to the readings
      </a>
      <Header />
      <main class={staleMs.value > 0 ? 'stale' : ''}>
        {locked ? <TokenForm refused={link.refused} onToken={onToken} /> : <Notice />}
        {status.value && !locked && (
          <>
            <Vitals status={status.value} />
            <Flow status={status.value} />
            <BridgeMessages bridges={status.value.inputs.bridges} />
            <Ledger status={status.value} />
            <Readings />
          </>
        )}
      </main>
    </>
  );
}
