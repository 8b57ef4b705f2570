import type { Logger } from 'pino';
import type { OperationView, ReplayView } from './api/view.ts';
import type { Clock } from './core/clock.ts';
import type { Lane } from './core/event.ts';
import type { SkipRequest } from './core/operation.ts';
import type { Forwarder } from './forward/forwarder.ts';
import { Operations } from './forward/operations.ts';
import type { SkipTarget } from './forward/skipper.ts';
import type { DurableLog } from './log/durable-log.ts';
import { offsetAt } from './log/read/offset-at.ts';
import type { Rename } from './log/sink-places.ts';

export interface OperationSources {
  readonly log: DurableLog;
  readonly forwarders: readonly Forwarder[];
  readonly operations: Operations;
}

/** What writes down who did what, at work. */
export async function startOperations(
  log: DurableLog,
  clock: Clock,
  logger: Logger,
): Promise<Operations> {
  const operations = new Operations({ log, clock, logger: logger.child({ component: 'api' }) });
  await operations.start();
  return operations;
}

/** Pause, resume and skip, for the sinks found by their ids. */
export function operationView({ log, forwarders, operations }: OperationSources): OperationView {
  const of = (sink: string) => forwarders.find(({ id }) => id === sink);
  return {
    async pause(sink, actor) {
      const recorder = operations.recorder({ operation: 'paused', sink, actor });
      const done = await of(sink)?.operating.pause(actor, recorder);
      return done === 'busy' ? done : of(sink)?.status();
    },
    async resume(sink, actor) {
      await of(sink)?.operating.resume(operations.recorder({ operation: 'resumed', sink, actor }));
      return of(sink)?.status();
    },
    async skip(sink, request, actor) {
      const operating = of(sink)?.operating;
      if (!operating) return undefined;
      const recorder = operations.recorder({ operation: 'skipped', sink, actor });
      const asked = { to: toText(request), lanes: request.lanes };
      const lanes = await operating.skip(await targetOf(log, request), { asked }, recorder);
      if (lanes === 'busy') return lanes;
      const skippedEvents = lanes.reduce((sum, lane) => sum + lane.skippedEvents, 0);
      return { sink, skippedEvents, lanes };
    },
    note: (sink, operation, details, actor) =>
      operations.record({ operation, sink, actor }, details, []),
  };
}

/** The replays of all sinks; who asks for one or cancels it is written down. */
export function replayView({ forwarders, operations }: OperationSources): ReplayView {
  const of = (sink: string) => forwarders.find(({ id }) => id === sink)?.replays;
  return {
    request: async (sink, range, actor) =>
      of(sink)?.request(range, operations.recorder({ operation: 'replay_requested', sink, actor })),
    list: (sink) => of(sink)?.jobs(),
    cancel: async (sink, id, actor) =>
      of(sink)?.cancel(id, operations.recorder({ operation: 'replay_cancelled', sink, actor })),
  };
}

/** As it is known when the instruction comes: what arrives while it is carried out is not meant. */
async function targetOf(log: DurableLog, { to, lanes }: SkipRequest): Promise<SkipTarget> {
  if (to.kind === 'events') return { events: to.events, lanes };
  const offsets: Partial<Record<Lane, number>> = {};
  for (const lane of lanes) {
    const { tail } = log.range(lane);
    offsets[lane] = to.kind === 'now' ? tail : await offsetAt(log, lane, to.timeMs);
  }
  return { to: offsets };
}

function toText({ to }: SkipRequest): string {
  switch (to.kind) {
    case 'now':
      return 'now';
    case 'time':
      return new Date(to.timeMs).toISOString();
    case 'events':
      return `${to.events} events`;
  }
}

/** Tells what became of `formerly`. */
export function renameLogger(logger: Logger): (rename: Rename) => void {
  return ({ sink, formerly, taken }) => {
    if (taken) logger.info({ sink, formerly }, 'the sink goes on where it was under another name');
    else
      logger.warn(
        { sink, formerly },
        'both names have a place in the log: the sink keeps its own, `formerly` changes nothing',
      );
  };
}
