import type { Logger } from 'pino';
import type { z } from 'zod';
import type { Clock } from './clock.ts';
import type { Message } from './event.ts';

/** What a bridge is given besides its own options. */
export interface BridgeContext {
  readonly id: string;
  /** Resolves once the message is durable. A bridge that awaits it is slowed by a full log. */
  accept(message: Omit<Message, 'source'>): Promise<void>;
  /** Says that the hardware is reachable and being read. */
  connected(): void;
  readonly clock: Clock;
  /** In [0, 1). Injected so that a test can repeat a run. */
  random(): number;
  readonly logger: Logger;
}

/**
 * The near side: hardware or a source that is not MQTT. `run` reads until the signal aborts; when
 * the hardware is lost it throws HubError BRIDGE_LOST and is run again after a back-off.
 */
export interface Bridge {
  run(context: BridgeContext, signal: AbortSignal): Promise<void>;
}

/** How a bridge is found: its type, its options' schema, and a lazy import of the rest. */
export interface BridgeSpec<Schema extends z.ZodObject = z.ZodObject> {
  readonly type: string;
  readonly summary: string;
  readonly options: Schema;
  create(options: z.output<Schema>): Promise<Bridge>;
}

/** Connection state of a bridge, as health, metrics and the console show it. */
export const BRIDGE_STATES = ['connecting', 'reading', 'backoff', 'stopped'] as const;
export type BridgeState = (typeof BRIDGE_STATES)[number];
