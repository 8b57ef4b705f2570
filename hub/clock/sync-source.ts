/**
 * Something that may know whether the wall clock is synchronised.
 *
 * `unsynced`: it keeps the time and has not managed yet, or not any more. `silent`: it is installed
 * but does not answer: not started yet, or not used. `absent`: it is not here. Never throws;
 * settles within seconds, or at once when aborted.
 */
export interface SyncSource {
  readonly name: string;
  check(signal: AbortSignal): Promise<SyncAnswer>;
}

export type SyncAnswer = 'synced' | 'unsynced' | 'silent' | 'absent';
