import { pino } from 'pino';
import { systemClock } from '../../hub/clock/system-clock.ts';
import { LANES } from '../../hub/core/event.ts';
import type { Actor, Operation, OperationName } from '../../hub/core/operation.ts';
import { Operations, type Recorder } from '../../hub/forward/operations.ts';
import type { DurableLog } from '../../hub/log/durable-log.ts';
import { SINK_ID } from './forwarding.ts';

export const SOMEBODY: Actor = { via: 'cli', address: '127.0.0.1', name: 'pi@gateway' };

/** What writes down who did what to the one sink of `log`. */
export function recorderOf(log: DurableLog, operation: OperationName): Recorder {
  const operations = operationsOf(log);
  return operations.recorder({ operation, sink: SINK_ID, actor: SOMEBODY });
}

export function operationsOf(log: DurableLog): Operations {
  return new Operations({ log, clock: systemClock(), logger: pino({ level: 'silent' }) });
}

/** The payloads of all events of `kind` in the log, lane after lane. */
export async function payloadsOf(log: DurableLog, kind: string): Promise<string[]> {
  const payloads: string[] = [];
  for (const lane of LANES) {
    for (const block of await log.read(lane, 0, Number.MAX_SAFE_INTEGER)) {
      for (let index = 0; index < block.count; index++) {
        const event = block.eventAt(index);
        if (event.kind === kind) payloads.push(event.payload.toString());
      }
    }
  }
  return payloads;
}

export async function operationsIn(log: DurableLog): Promise<Operation[]> {
  return (await payloadsOf(log, 'operation')).map((text) => JSON.parse(text));
}
