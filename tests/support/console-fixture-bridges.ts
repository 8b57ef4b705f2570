import type { BridgeStatus } from '../../hub/core/status.ts';

/** As long as messages get that say what to do. */
export const BRIDGE_LOST =
  'no permission for /dev/serial/by-id/usb-Raspberry_Pi_Pico_E6614103E72D9B2C-if00: it belongs to ' +
  'the group dialout, in which the user holdfast is not: `sudo usermod -aG dialout holdfast`, then ' +
  'restart the hub';

export const CONSOLE_BRIDGES: readonly BridgeStatus[] = [
  { id: 'demo', type: 'simulator', state: 'reading' },
  {
    id: 'pico',
    type: 'serial',
    state: 'backoff',
    detail: BRIDGE_LOST,
  },
  {
    id: 'meters',
    type: 'modbus',
    state: 'reading',
    detail: 'boiler (unit 2) does not answer: check its supply and its address',
    degraded: true,
  },
];
