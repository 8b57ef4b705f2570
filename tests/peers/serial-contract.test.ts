import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { WAITING_MESSAGES_MAX } from '../../firmware-bridge/serial/connection.ts';
import { createSerialBridge } from '../../firmware-bridge/serial/serial.ts';
import { serialSpec } from '../../firmware-bridge/serial/spec.ts';
import { bridgeContract } from '../contract/bridge.ts';
import { hasSocat, isSocatThere, PseudoTerminals } from '../support/pseudo-terminal.ts';

const PERIOD_MS = 20;
/** Lines of one read of a terminal: 4 KiB of the shortest. */
const LINES_OF_A_READ_MAX = 500;

async function start() {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-serial-'));
  const terminals = new PseudoTerminals(join(folder, 'port'), join(folder, 'device'));
  await terminals.plugIn();
  const options = serialSpec.options.parse({ port: terminals.port, checksum: 'xor8' });
  const bridge = await createSerialBridge(options);
  const timer = setInterval(() => {
    terminals.write('1*31\n').catch(() => {}); // unplugged in the meantime
  }, PERIOD_MS);
  return {
    bridge,
    loseHardware: () => terminals.unplug(),
    async stop() {
      clearInterval(timer);
      await terminals.unplug();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

if (isSocatThere())
  bridgeContract('serial', {
    start,
    hasHardware: true,
    periodMs: PERIOD_MS,
    unacceptedMax: WAITING_MESSAGES_MAX + LINES_OF_A_READ_MAX,
  });
else test('bridge contract: serial', (t) => void hasSocat(t));
