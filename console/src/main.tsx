import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import './styles/base.css';
import './styles/header.css';
import './styles/vitals.css';
import './styles/flow.css';
import './styles/bridges.css';
import './styles/budget.css';
import './styles/outages.css';
import './styles/dead-letters.css';
import './styles/controls.css';
import './styles/ledger.css';
import './styles/readings.css';
import { App } from './app.tsx';
import { runLive } from './live.ts';
import {
  api,
  connection,
  hasToken,
  heard,
  keepToken,
  localMs,
  takeReadings,
  takeSnapshot,
  takeStatus,
} from './store.ts';

/** Waits for `delayMs`, or until the page has a reason to try at once. */
function waitOrWake(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const woken = new AbortController();
    const settle = () => {
      clearTimeout(timer);
      woken.abort();
      resolve();
    };
    const timer = setTimeout(settle, delayMs);
    const once = { once: true, signal: woken.signal };
    window.addEventListener('online', settle, once);
    document.addEventListener('visibilitychange', settle, once);
    signal.addEventListener('abort', settle, once);
  });
}

function start(): void {
  // It settles when a token is wanted and never rejects: every failure is a state of the page.
  void runLive(
    {
      api,
      hasToken,
      onConnection: (next) => {
        connection.value = next;
      },
      onHeard: heard,
      onSnapshot: takeSnapshot,
      onStatus: takeStatus,
      onReadings: takeReadings,
      wait: waitOrWake,
    },
    new AbortController().signal,
  );
}

setInterval(() => {
  localMs.value = performance.now();
}, 1_000);

const root = document.getElementById('app');
if (root) {
  const unlock = (token: string) => {
    keepToken(token);
    start();
  };
  render(<App onToken={unlock} />, root);
}
start();
