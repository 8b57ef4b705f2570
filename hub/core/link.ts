/** Connection state of a sink: health, metrics and the console show the same word. */
export const LINK_STATES = [
  'connecting',
  'reading',
  'sending',
  'backoff',
  'paused',
  'halted',
  'stopped',
] as const;
export type LinkState = (typeof LINK_STATES)[number];
