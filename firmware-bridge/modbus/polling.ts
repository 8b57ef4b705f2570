/**
 * The poll loop of one open line. Invariants: one message at a time waits for the log, and nothing
 * is read meanwhile, so a full log slows the bus down and fills no memory; when `run` has ended
 * nothing is asked any more.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { BridgeContext, DetailKind } from '../../hub/core/bridge.ts';
import { HubError } from '../../hub/core/errors.ts';
import { describeParts } from '../sampling/detail.ts';
import { gapMessage, readingMessages, topicOf } from '../sampling/messages.ts';
import { RecentCount } from '../sampling/recent-count.ts';
import { Schedule } from '../sampling/schedule.ts';
import type { Turns } from '../sampling/turns.ts';
import type { PollGroup } from './poll-group.ts';
import type { Read } from './read-plan.ts';
import type { SlaveLink } from './slave-link.ts';
import type { Value } from './value.ts';
import type { Wire } from './wire.ts';

/** Over TCP a device that was switched off says nothing: then the connection is made anew. */
const SILENT_TRIES_MAX = 3;
/** More are a bus that is cut: then all have the same reason. */
const NAMED_MAX = 4;

export interface PollingParts {
  /** Its `accept` takes one message at a time, and ends with the signal. */
  readonly context: BridgeContext;
  readonly topic: string;
  readonly groups: readonly PollGroup[];
  readonly links: readonly SlaveLink[];
  readonly turns: Turns;
  readonly wire: Wire;
  /** Whether silence of everybody means that the connection is dead. */
  readonly reconnects: boolean;
  /** Tells people how it goes; undefined: all is well. */
  tell(detail: string | undefined, kind: DetailKind): void;
}

export class Polling {
  readonly #parts: PollingParts;
  readonly #schedule: Schedule<SlaveLink, PollGroup>;
  readonly #signal: AbortSignal;
  /** What slaves refuse, by slave and place: told until they answer. */
  readonly #refused = new Map<string, string>();
  readonly #recentMissed = new RecentCount();
  readonly #recentLate = new RecentCount();
  #silentTries = 0;
  #told: string | undefined;

  constructor(parts: PollingParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
    this.#schedule = new Schedule(parts.groups, parts.context.clock.monotonicMs());
  }

  /** Until the signal aborts. Throws what `accept` throws, and BRIDGE_LOST. */
  async run(): Promise<void> {
    const { context, turns } = this.#parts;
    while (!this.#signal.aborted) {
      const startedMs = context.clock.monotonicMs();
      const next = this.#schedule.next(startedMs);
      switch (next.is) {
        case 'poll':
          await this.#poll(next.group);
          break;
        case 'retry': {
          const back = await turns.take(() => next.source.retry());
          const nowMs = context.clock.monotonicMs();
          this.#schedule.retried(next.source, back, nowMs - startedMs, nowMs);
          this.#countSilence(back);
          break;
        }
        case 'wait':
          await delay(next.delayMs, undefined, { signal: this.#signal }).catch(() => {});
      }
      await this.#afterwards();
    }
  }

  async #poll(group: PollGroup): Promise<void> {
    const { context, topic, turns } = this.#parts;
    const link = group.source;
    const { clock } = context;
    const timeMs = clock.synced() ? clock.wallMs() : undefined;
    const values: (readonly [string, Value])[] = [];
    for (const read of group.reads) {
      if (this.#signal.aborted) return;
      const result = await turns.take(() => link.read(read));
      this.#countSilence(result.kind !== 'failed');
      if (result.kind === 'failed') break;
      this.#noteRefusal(link, read, result.kind === 'refused' ? result.text : undefined);
      if (result.kind === 'values') values.push(...result.values);
      else if (result.instead !== undefined) this.#splitRead(group, read, result.instead);
    }
    for (const message of readingMessages(topicOf(topic, link.device), values, timeMs))
      await context.accept(message);
  }

  #splitRead(group: PollGroup, read: Read, instead: readonly Read[]): void {
    group.reads = group.reads.flatMap((one) => (one === read ? instead : [one]));
    this.#noteRefusal(group.source, read, undefined);
    this.#schedule.readAtOnce(group.source, this.#parts.context.clock.monotonicMs());
  }

  #noteRefusal(link: SlaveLink, read: Read, text: string | undefined): void {
    const key = `${link.unit} ${read.kind} ${read.address} ${read.length}`;
    if (text === undefined) this.#refused.delete(key);
    else this.#refused.set(key, `${link.name}, ${read.entries[0]?.metric ?? ''}, ${text}`);
  }

  /** Gaps that have ended, and the status. */
  async #afterwards(): Promise<void> {
    if (this.#signal.aborted) return; // what is told now is why the line ended
    const { context, links } = this.#parts;
    for (const link of links) {
      const gap = link.takeGap();
      if (gap === undefined) continue;
      this.#schedule.readAtOnce(link, context.clock.monotonicMs());
      await context.accept(gapMessage(context.id, link.identity, gap, context.clock.wallMs()));
    }
    const { detail, kind } = this.#detail();
    if (detail !== this.#told) this.#parts.tell(detail, kind);
    this.#told = detail;
  }

  /** What people should know, the slaves first; undefined when all is well. */
  #detail() {
    const { links, wire } = this.#parts;
    const silent = links.flatMap((link) => {
      const { state } = link.health;
      return state.is === 'failing' && link.health.silent ? [`${link.name}: ${state.why}`] : [];
    });
    const nowMs = this.#parts.context.clock.monotonicMs();
    const { missed } = this.#schedule;
    const missedNow = this.#recentMissed.grownBy(missed, nowMs);
    const lateNow = this.#recentLate.grownBy(wire.lateAnswers, nowMs);
    const troubles = [
      ...(silent.length > 0 ? [`${silent.length} of ${links.length} slaves are silent`] : []),
      ...silent.slice(0, NAMED_MAX),
      ...[...this.#refused.values()].slice(0, NAMED_MAX),
    ];
    const notes = [
      ...(missedNow > 0
        ? [`${missedNow} cycles missed of late, ${missed} since it runs: the line cannot keep up`]
        : []),
      ...(lateNow > 0
        ? [`${lateNow} answers came after their \`timeout\` and were thrown away`]
        : []),
    ];
    return describeParts(troubles, notes);
  }

  #countSilence(answered: boolean): void {
    this.#silentTries = answered ? 0 : this.#silentTries + 1;
    const { reconnects, wire, links } = this.#parts;
    if (!reconnects || this.#silentTries < SILENT_TRIES_MAX) return;
    if (links.some((link) => link.health.state.is === 'answering')) return;
    const advice = 'the connection is made anew; check that the device is on and the unit ids';
    const what = `no slave answered the last ${this.#silentTries} requests`;
    throw new HubError('BRIDGE_LOST', `${wire.name}: ${what}; ${advice}`);
  }
}
