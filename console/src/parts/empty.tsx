import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { status } from '../store.ts';

/** The address of the first plain MQTT listener, as `mosquitto_pub` takes it. */
function mosquittoTarget(): string {
  const listener = status.value?.inputs.mqttListeners.find((text) => /:\d+$/.test(text));
  const port = listener ? /:(\d+)$/.exec(listener)?.[1] : undefined;
  const host = location.hostname === '' ? '127.0.0.1' : location.hostname;
  return `-h ${host === 'localhost' ? '127.0.0.1' : host}${port && port !== '1883' ? ` -p ${port}` : ''}`;
}

/**
 * Browsers give the clipboard to secure pages only; elsewhere the text is selected for the user.
 */
async function copy(command: string, shown: HTMLElement | null): Promise<string> {
  try {
    await navigator.clipboard.writeText(command);
    return 'Copied';
  } catch {
    if (shown) getSelection()?.selectAllChildren(shown);
    return 'Selected';
  }
}

/** Before the first reading: how to send one. */
export function Empty() {
  const label = useSignal('Copy');
  const text = useRef<HTMLElement>(null);
  const command = `mosquitto_pub -q 1 ${mosquittoTarget()} -t site/a/dev1/temp -m '{"v":21.5}'`;
  return (
    <div class="panel empty">
      <h3>No readings yet</h3>
      <p>Publish the first one from any MQTT client; it appears here at once:</p>
      <div class="command">
        <code ref={text}>{command}</code>
        <button
          type="button"
          onClick={() => {
            void copy(command, text.current).then((done) => {
              label.value = done;
            });
          }}
        >
          {label}
        </button>
      </div>
      <p class="node-note">
        The topic names area, device and metric (<code>decode</code> in the configuration). When the
        command returns, the reading is on disk.
      </p>
    </div>
  );
}
