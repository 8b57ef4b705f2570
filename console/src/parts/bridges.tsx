import type { BridgeStatus } from '../../../hub/core/status.ts';
import { bridgeView } from '../sink-view.ts';
import { ToneIcon } from './icons.tsx';

/** Commands and keys stand between backticks in messages of the hub. */
function Words({ text }: { text: string }) {
  const parts = text.split('`');
  if (parts.length % 2 === 0) return <>{text}</>;
  return <>{parts.map((part, i) => (i % 2 === 0 ? part : <code key={i}>{part}</code>))}</>;
}

/** All of what the bridges say: the cards of the flow have room for two lines. */
export function BridgeMessages({ bridges }: { bridges: readonly BridgeStatus[] }) {
  const told = bridges.flatMap((bridge) =>
    bridge.detail === undefined ? [] : [{ ...bridge, detail: bridge.detail }],
  );
  if (told.length === 0) return null;
  return (
    <section class="panel bridge-messages" aria-label="Messages of the bridges">
      <h2>Bridges</h2>
      <ul>
        {told.map((bridge) => (
          <li key={bridge.id} data-bridge={bridge.id}>
            <ToneIcon tone={bridgeView(bridge).tone} />
            <strong>{bridge.id}</strong>
            <p>
              <Words text={bridge.detail} />
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}
