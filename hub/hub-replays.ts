import type { ReplayView } from './api/view.ts';
import type { Forwarder } from './forward/forwarder.ts';

/** The replays of all sinks, found by the sink's id. */
export function replayView(forwarders: readonly Forwarder[]): ReplayView {
  const of = (sink: string) => forwarders.find(({ id }) => id === sink)?.replays;
  return {
    request: async (sink, range) => of(sink)?.request(range),
    list: (sink) => of(sink)?.jobs(),
    cancel: async (sink, id) => of(sink)?.cancel(id),
  };
}
