import type { Logger } from 'pino';
import { Commands, type CommandTarget } from './commands/commands.ts';
import type { Clock } from './core/clock.ts';
import type { BridgeRunner } from './intake/bridges.ts';
import type { Broker } from './intake/broker/broker.ts';
import type { DurableLog } from './log/durable-log.ts';
import type { LiveView } from './process/live.ts';

export interface CommandSources {
  readonly log: DurableLog;
  readonly broker: Broker;
  readonly bridges: readonly BridgeRunner[];
  readonly live: LiveView;
}

/** Commands for the devices of the bridges, and over MQTT for all others that are known. */
export async function makeCommands(
  sources: CommandSources,
  clock: Clock,
  logger: Logger,
): Promise<Commands> {
  const { log, broker, bridges, live } = sources;
  const commands = new Commands({
    log,
    clock,
    logger: logger.child({ component: 'commands' }),
    targets: bridges.flatMap((bridge) => targetOf(bridge)),
    broker,
    knows: (device) => live.devices().some((known) => known.device === device),
  });
  await commands.load();
  return commands;
}

function targetOf(bridge: BridgeRunner): CommandTarget[] {
  const taker = bridge.commands;
  if (!taker) return [];
  return [
    {
      id: bridge.id,
      taker,
      problem() {
        const { state, detail } = bridge.status();
        return state === 'reading' ? undefined : (detail ?? state);
      },
    },
  ];
}
