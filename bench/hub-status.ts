import type { Hub } from './brokers.ts';

/** Of each sink, how many events it has not settled. */
export async function lagsOf(hub: Hub): Promise<readonly number[]> {
  const status: unknown = await (await fetch(`${hub.url}/api/v1/status`)).json();
  if (typeof status === 'object' && status !== null && 'sinks' in status) {
    const sinks: unknown[] = Array.isArray(status.sinks) ? status.sinks : [];
    return sinks.map((sink) => {
      const lag =
        typeof sink === 'object' && sink !== null && 'lagEvents' in sink && sink.lagEvents;
      return typeof lag === 'number' ? lag : Number.NaN;
    });
  }
  throw new Error('/api/v1/status does not show the sinks');
}

/** Of the only sink. */
export async function lagOf(hub: Hub): Promise<number> {
  const [lag = Number.NaN] = await lagsOf(hub);
  if (Number.isNaN(lag)) throw new Error('/api/v1/status does not show the sink');
  return lag;
}
