/**
 * A link that is back is noticed at once, not by everyone's own timer. Whoever waits for a host is
 * woken when another sink delivers there, when a probe finds it reachable again, and when this
 * machine gets a new address. A delivery that is stuck in a link that was gone is cut.
 *
 * Invariants:
 * - probes run only while a sink that allows them waits, or has a delivery under way for long;
 * - a delivery is cut only when the host was unreachable while it was under way and is back; after
 *   each cut the next one has to wait four times as long, until something is delivered: a link so
 *   slow that probes fail beside the delivery is not kept busy with cutting it.
 */
import { HubError } from '../core/errors.ts';
import { parseHostPort } from '../core/host-port.ts';
import { AddressWatch, localAddresses } from './local-addresses.ts';
import { type Connect, Probe } from './probe.ts';
import { type Schedule, SYSTEM_SCHEDULE } from './schedule.ts';
import { tcpConnect } from './tcp-connect.ts';

/** A thousand hubs that lost the same far side do not return in the same moment. */
const WAKE_JITTER_MS = 300;
/** A batch is through by then, or the link is slow or gone. */
const PATIENCE_MS = 3_000;
const PATIENCE_FACTOR = 4;
/** Far beyond any deadline: 3 s × 4^8 is two days. */
const CUTS_MAX = 8;
/** A sink whose delivery was cut comes to wait within this time: it is left behind after 2 s. */
const CUT_KNOWN_MS = 4_000;

export interface RecoveryOptions {
  readonly schedule: Schedule;
  readonly connect: Connect;
  /** The addresses of this machine. */
  addresses(): ReadonlySet<string>;
}

/** What a sink tells of its far side, and is told. */
export interface FarSideLink {
  /** Calls `wake` when it is worth trying again at once; until the returned function is called. */
  wait(wake: () => void): () => void;
  /** The far side has taken something after a failure. */
  reached(): void;
  /**
   * Looks after a delivery, from now on until `stop`: calls `cut` with SINK_DISCONNECTED when it is
   * stuck in a link that was gone.
   */
  watch(cut: (reason: HubError) => void): { stop(): void };
}

interface Watched {
  readonly cut: (reason: HubError) => void;
  /** Whether the patience is over. */
  due: boolean;
  /** Whether the host could not be reached while it was under way. */
  sawLoss: boolean;
}

interface Sink {
  readonly probes: boolean;
  readonly waits: Set<() => void>;
  readonly watched: Set<Watched>;
  /** Cuts since the last delivery. */
  cuts: number;
  cutMs: number;
}

interface Host {
  readonly sinks: Set<Sink>;
  readonly probe: Probe | undefined;
  /** Cancels the wake-up that is to come. */
  waking: (() => void) | undefined;
}

export class Recovery {
  readonly #options: RecoveryOptions;
  readonly #hosts = new Map<string, Host>();
  readonly #addresses: AddressWatch;

  constructor(options: Partial<RecoveryOptions> = {}) {
    const {
      schedule = SYSTEM_SCHEDULE,
      connect = tcpConnect(),
      addresses = localAddresses,
    } = options;
    this.#options = { schedule, connect, addresses };
    this.#addresses = new AddressWatch(schedule, addresses, () => this.#haveNewAddress());
  }

  /**
   * Takes part in what is known of `host` (`host:port`; anything else is never probed). `probes`:
   * whether this sink's link may be used for them; they cost bytes where bytes are metered.
   */
  join(host: string, probes: boolean): FarSideLink {
    const entry = this.#hosts.get(host) ?? this.#newHost(host);
    this.#hosts.set(host, entry);
    const sink: Sink = {
      probes,
      waits: new Set(),
      watched: new Set(),
      cuts: 0,
      cutMs: Number.NEGATIVE_INFINITY,
    };
    entry.sinks.add(sink);
    return {
      wait: (wake) => this.#wait(entry, sink, wake),
      reached: () => {
        sink.cuts = 0;
        entry.probe?.reached();
        this.#wakeAll(entry);
      },
      watch: (cut) => this.#watch(entry, sink, cut),
    };
  }

  #newHost(host: string): Host {
    const to = parseHostPort(host);
    const { schedule, connect } = this.#options;
    const returned = () => this.#returned(entry);
    const failed = () => noteLoss(entry);
    const probe = to && new Probe({ to, connect, schedule, returned, failed });
    const entry: Host = { sinks: new Set(), probe, waking: undefined };
    return entry;
  }

  #wait(host: Host, sink: Sink, wake: () => void): () => void {
    const { schedule } = this.#options;
    sink.waits.add(wake);
    this.#follow(host);
    if (schedule.nowMs() - sink.cutMs < CUT_KNOWN_MS) {
      sink.cutMs = Number.NEGATIVE_INFINITY;
      this.#wakeSoon(host);
    }
    return () => {
      sink.waits.delete(wake);
      this.#follow(host);
    };
  }

  #watch(host: Host, sink: Sink, cut: Watched['cut']): { stop(): void } {
    const { schedule } = this.#options;
    if (!sink.probes || !host.probe) return { stop: () => {} };
    const watched: Watched = { cut, due: false, sawLoss: false };
    sink.watched.add(watched);
    const unreachable = sink.cuts === 0 && host.probe.unreachable;
    const patienceMs = unreachable ? 0 : PATIENCE_MS * PATIENCE_FACTOR ** sink.cuts;
    const cancel = schedule.after(patienceMs, () => {
      watched.due = true;
      this.#follow(host);
    });
    const stop = () => {
      cancel();
      sink.watched.delete(watched);
      this.#follow(host);
    };
    return { stop };
  }

  /** Starts and stops what looks out, as somebody needs it or not. */
  #follow(host: Host): void {
    const needed = [...host.sinks].some(
      ({ probes, waits, watched }) =>
        probes && (waits.size > 0 || [...watched].some(({ due }) => due)),
    );
    if (needed) host.probe?.start();
    else host.probe?.stop();
    if (!isWaitedFor(host)) {
      host.waking?.();
      host.waking = undefined;
    }
    if ([...this.#hosts.values()].some(isWaitedFor)) this.#addresses.start();
    else this.#addresses.stop();
  }

  #returned(host: Host): void {
    for (const sink of host.sinks) this.#cutStuck(sink);
    this.#wakeSoon(host);
  }

  #cutStuck(sink: Sink): void {
    const stuck = [...sink.watched].filter(({ due, sawLoss }) => due && sawLoss);
    if (stuck.length === 0) return;
    sink.cuts = Math.min(CUTS_MAX, sink.cuts + 1);
    sink.cutMs = this.#options.schedule.nowMs();
    const text = 'the link was gone while the far side was written to, and is back: sent again';
    for (const { cut } of stuck) cut(new HubError('SINK_DISCONNECTED', text));
  }

  #haveNewAddress(): void {
    for (const host of this.#hosts.values()) {
      host.probe?.freshen();
      if (isWaitedFor(host)) this.#wakeSoon(host);
    }
  }

  #wakeSoon(host: Host): void {
    const { schedule } = this.#options;
    host.waking ??= schedule.after(schedule.random() * WAKE_JITTER_MS, () => {
      host.waking = undefined;
      this.#wakeAll(host);
    });
  }

  #wakeAll(host: Host): void {
    for (const { waits } of host.sinks) for (const wake of [...waits]) wake();
  }
}

function isWaitedFor({ sinks }: Host): boolean {
  return [...sinks].some(({ waits }) => waits.size > 0);
}

function noteLoss({ sinks }: Host): void {
  for (const { watched } of sinks) for (const delivery of watched) delivery.sawLoss = true;
}
