import type { Bridge, BridgeContext } from '../../hub/core/bridge.ts';
import type { CommandOrder, CommandOutcome, CommandTaker } from '../../hub/core/command.ts';
import { describeError, HubError } from '../../hub/core/errors.ts';
import { HandOver } from '../sampling/hand-over.ts';
import { unlessStopped } from '../sampling/timer.ts';
import { Turns } from '../sampling/turns.ts';
import { ModbusClient } from './client.ts';
import type { ModbusFields, SlaveFields, TransportFields } from './fields.ts';
import { type Line, openLine } from './line.ts';
import type { PollGroup } from './poll-group.ts';
import { Polling } from './polling.ts';
import { limitsOf, planReads, type Read } from './read-plan.ts';
import { entriesOf, type RegisterEntry } from './register-map.ts';
import { frameGapMs, RtuWire } from './rtu-wire.ts';
import { SlaveLink, TIME_OVER } from './slave-link.ts';
import { TcpWire } from './tcp-wire.ts';
import type { Wire } from './wire.ts';
import { writeOrder } from './write-command.ts';

/** A network parts frames by packets more than by time. */
const RTU_OVER_TCP_GAP_MS = 5;

interface Station {
  readonly link: SlaveLink;
  readonly entries: readonly RegisterEntry[];
  readonly groups: readonly PollGroup[];
}

/**
 * Slaves on one Modbus line. `run` throws BRIDGE_LOST, which names the line and what to do, when it
 * cannot be opened or is lost; a slave that does not answer is no loss of the line. What is known
 * of the slaves outlives a run, so that the time without the line is a gap of each of them.
 */
export class ModbusBridge implements Bridge {
  readonly commands: CommandTaker;
  readonly #options: ModbusFields;
  #stations: readonly Station[] = [];
  #turns = new Turns();
  readonly #handOver = new HandOver();

  constructor(options: ModbusFields) {
    this.#options = options;
    const devices = new Set(options.slaves.map(({ device }) => device));
    this.commands = {
      owns: (device) => devices.has(device),
      carryOut: (order, sent, signal) => this.#carryOut(order, sent, signal),
    };
  }

  async run(context: BridgeContext, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    if (this.#stations.length === 0)
      this.#stations = this.#options.slaves.map((slave) => this.#station(slave, context));
    const stations = this.#stations;
    let why = 'the line was closed';
    try {
      await this.#runOnce(context, signal);
    } catch (error) {
      why = describeError(error);
      if (!signal.aborted) throw error;
    } finally {
      for (const { link } of stations) link.detach(why);
    }
  }

  async #runOnce(around: BridgeContext, signal: AbortSignal): Promise<void> {
    const { transport, topic } = this.#options;
    const wire = wireOver(await openLine(transport, signal), transport);
    const stopped = new AbortController();
    const accept: BridgeContext['accept'] = (message) =>
      this.#handOver.give(around.accept, message, stopped.signal);
    const context = { ...around, accept };
    const stop = () => {
      stopped.abort();
      wire.close();
    };
    signal.addEventListener('abort', stop, { once: true });
    try {
      const client = await ModbusClient.over(wire);
      if (signal.aborted) return;
      this.#turns = new Turns();
      const links = this.#stations.map(({ link }) => link);
      for (const link of links) link.attach({ wire, client });
      context.connected();
      const groups = this.#stations.flatMap((station) => station.groups);
      const parts = { context, topic, groups, links, turns: this.#turns, wire };
      const tell = context.describe;
      const reconnects = transport.type !== 'rtu';
      const polling = new Polling({ ...parts, reconnects, tell }, stopped.signal);
      await Promise.race([polling.run(), wire.lost]);
    } finally {
      signal.removeEventListener('abort', stop);
      stop();
    }
  }

  #station(slave: SlaveFields, context: BridgeContext): Station {
    const entries = entriesOf(slave, this.#options);
    const limits = limitsOf(slave);
    const plan = (intervalMs: number) =>
      planReads(
        entries.filter((entry) => entry.intervalMs === intervalMs),
        limits,
      );
    const intervals = [...new Set(entries.map(({ intervalMs }) => intervalMs))];
    const plans = intervals.map((intervalMs) => ({ intervalMs, reads: plan(intervalMs) }));
    const timeoutMs = slave.timeout ?? this.#options.timeout;
    const link = new SlaveLink(
      {
        slave,
        timeoutMs,
        intervalMs: Math.min(...intervals),
        limits,
        proof: shortest(plans.flatMap(({ reads }) => reads)),
      },
      {
        clock: context.clock,
        random: context.random,
        logger: context.logger,
        garbled: () => context.badFrames('checksum', 1),
      },
    );
    return { link, entries, groups: plans.map((one) => ({ source: link, ...one })) };
  }

  async #carryOut(
    order: CommandOrder,
    sent: () => void,
    signal: AbortSignal,
  ): Promise<CommandOutcome> {
    const station = this.#stations.find(({ link }) => link.device === order.device);
    if (station === undefined || !station.link.attached)
      return { state: 'failed', detail: 'the line is not open; nothing was written' };
    const write = writeOrder(order, station.entries);
    if (!write.ok) return { state: 'failed', detail: write.detail };
    const { link } = station;
    let isSent = false;
    const onSent = () => {
      isSent = true;
      sent();
    };
    try {
      const work = this.#turns.take(() => link.write(write.entry, write.value, onSent, signal));
      // its turn goes on until the slave has answered or its timeout is over
      const ended = await unlessStopped(work, signal);
      const result = ended ?? (isSent ? link.unanswered(write.entry) : TIME_OVER);
      return result.kind === 'done'
        ? { state: 'done' }
        : { state: 'failed', detail: result.detail };
    } catch (error) {
      if (!(error instanceof HubError)) throw error;
      const what = isSent ? 'it may have been written or not' : 'nothing was written';
      return { state: 'failed', detail: `${error.message}; ${what}` };
    }
  }
}

function wireOver(line: Line, transport: TransportFields): Wire {
  if (transport.type === 'tcp') return new TcpWire(line);
  const isSerial = transport.type === 'rtu';
  return new RtuWire(line, isSerial ? frameGapMs(transport.baud_rate) : RTU_OVER_TCP_GAP_MS);
}

function shortest(reads: readonly Read[]): Read {
  const [first, ...others] = reads;
  if (first === undefined) throw new Error('a slave without registers');
  return others.reduce((best, read) => (read.length < best.length ? read : best), first);
}
