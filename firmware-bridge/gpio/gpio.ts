import type { Bridge, BridgeContext } from '../../hub/core/bridge.ts';
import type { CommandOrder, CommandOutcome, CommandTaker } from '../../hub/core/command.ts';
import { describeError, HubError } from '../../hub/core/errors.ts';
import { gapMessage, topicOf } from '../sampling/messages.ts';
import { GpiodTools } from './cdev/gpiod-tools.ts';
import { parseCommand, type Wish } from './command.ts';
import type { GpioFields, LineFields } from './fields.ts';
import { Keeper } from './keeper.ts';
import { Bell } from './lines/bell.ts';
import { COUNT_PREFIX, countKey } from './lines/counter-reader.ts';
import { EventClock } from './lines/event-clock.ts';
import { HandOver } from './lines/hand-over.ts';
import type { EdgeLoss, LinePort, LineReader } from './lines/line-reader.ts';
import type { Output } from './lines/output.ts';
import { type OpenBackend, openBackend, type Surroundings } from './open-backend.ts';
import { type AnyPlace, placeOf } from './place.ts';
import { loadOnoff } from './sysfs/onoff.ts';

/** Of the second that the end of a run may take: what a log that is not full needs. */
const LAST_WORDS_MS = 250;
/** To end some programs takes 10 ms; one that hangs must not hold up the hub. */
const END_MS_MAX = 700;

export const MACHINE: Surroundings = {
  tools: new GpiodTools(),
  onoff: loadOnoff,
  sysRoot: '/sys',
  devRoot: '/dev',
};

/** The lines of one GPIO chip. What is known of them outlives a run. */
export class GpioBridge implements Bridge {
  readonly commands: CommandTaker | undefined;
  readonly #options: GpioFields;
  readonly #surroundings: Surroundings;
  readonly #gaps = new HandOver();
  #places: readonly AnyPlace[] = [];

  constructor(options: GpioFields, surroundings: Surroundings = MACHINE) {
    this.#options = options;
    this.#surroundings = surroundings;
    const devices = new Set(
      options.lines.filter(({ mode }) => mode === 'output').map(({ device }) => device),
    );
    if (devices.size > 0)
      this.commands = {
        owns: (device) => devices.has(device),
        carryOut: (order, _sent, signal) => this.#carryOut(order, signal),
      };
  }

  async run(context: BridgeContext, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const stop = new AbortController();
    const stopped = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    const work = this.#work(context, stop.signal, signal);
    work.catch(() => {});
    try {
      await Promise.race([work, stopped]);
    } finally {
      stop.abort();
      // what it has started must be gone before another run starts the same
      await within(END_MS_MAX, work);
    }
    if (signal.aborted) await this.#lastWords(context);
  }

  async #work(context: BridgeContext, signal: AbortSignal, hub: AbortSignal): Promise<void> {
    const { clock } = context;
    if (this.#places.length === 0) this.#places = await this.#remembered(context);
    const opened = await openBackend(this.#options, this.#surroundings, {
      clock,
      badLine: () => context.badFrames('format', 1),
    });
    if (signal.aborted) return;
    context.logger.info(
      { backend: opened.backend.kind, reason: opened.reason },
      `the lines are those of ${opened.backend.title}`,
    );
    const bell = new Bell();
    const connected = new Once(() => context.connected());
    const keeper = new Keeper({
      places: this.#places,
      backend: opened.backend,
      clock,
      changed: () => {
        if (this.#places.some(({ condition }) => condition.is === 'up')) connected.call();
        const isWhole = this.#places.every(({ condition }) => condition.is !== 'down');
        context.describe(this.#detail(opened), isWhole ? 'note' : 'trouble');
        bell.ring();
      },
      leave: ({ fields }) => (hub.aborted ? fields.safe : 'keep'),
    });
    const inner = new AbortController();
    const end = () => inner.abort();
    signal.addEventListener('abort', end, { once: true });
    const events = new EventClock(clock);
    const readers = this.#places.map((place) =>
      place.reader.run(this.#port(place, context, events), inner.signal),
    );
    const kept = keeper.run(inner.signal);
    const all = [kept, this.#tellGaps(context, bell, inner.signal), ...readers];
    try {
      await Promise.all(all);
    } finally {
      end();
      await Promise.allSettled(all);
    }
  }

  async #remembered(context: BridgeContext): Promise<readonly AnyPlace[]> {
    const state = await context.loadState(COUNT_PREFIX);
    const remembered = (line: LineFields) =>
      line.mode === 'counter' ? state.get(countKey(line)) : undefined;
    return this.#options.lines.map((line) => placeOf(line, remembered, context.clock));
  }

  #detail({ backend, reason }: OpenBackend): string {
    const down = this.#places.flatMap(({ condition }) =>
      condition.is === 'down' ? [condition.why] : [],
    );
    const way = `${backend.title} (${reason})`;
    if (down.length === 0) return way;
    const reasons = [...new Set(down)].join('; ');
    return `${down.length} of ${this.#places.length} lines are not there: ${reasons}. ${way}`;
  }

  #port({ fields }: AnyPlace, context: BridgeContext, events: EventClock): LinePort {
    const { device, metric, line } = fields;
    const topic = topicOf(this.#options.topic, device);
    return {
      get nowMs() {
        return events.nowMs;
      },
      tell: (values, atMs, state) => {
        const payload = Buffer.from(JSON.stringify({ ...events.stamp(atMs), ...values }));
        return context.accept({ topic, payload }, state);
      },
      tellLoss: (loss: EdgeLoss) => {
        const lostOnes = {
          ...{ bridge: context.id, device, metric, line, lostEdges: loss.count },
          from: new Date(events.wallMs(loss.fromMs)).toISOString(),
          to: new Date(events.wallMs(loss.toMs)).toISOString(),
          reason: loss.reason,
        };
        context.logger.warn(lostOnes, 'edges were lost');
        const payload = Buffer.from(JSON.stringify(lostOnes));
        return context.accept({
          topic: `holdfast/bridge/${context.id}`,
          payload,
          kind: 'hub.health',
        });
      },
    };
  }

  /** That lines were away, when they are back. */
  async #tellGaps(context: BridgeContext, bell: Bell, signal: AbortSignal): Promise<void> {
    for (;;) {
      for (const place of this.#places) {
        const gap = place.takeGap();
        if (gap === undefined) continue;
        const { device, metric, line } = place.fields;
        const source = { device, metric, line };
        const message = gapMessage(context.id, source, gap, context.clock.wallMs());
        if (!(await this.#gaps.give(() => context.accept(message), signal))) return;
      }
      await bell.wait(Infinity, signal);
      if (signal.aborted) return;
    }
  }

  /** The pulses since the last message: else a restart would cost an interval of them. */
  async #lastWords(context: BridgeContext): Promise<void> {
    const events = new EventClock(context.clock);
    const told = this.#places.map(async (place) => {
      const reader: LineReader = place.reader;
      const words = reader.lastWords?.();
      if (words === undefined) return;
      await this.#port(place, context, events).tell(words.values, events.nowMs, words.state);
    });
    await within(LAST_WORDS_MS, Promise.allSettled(told));
  }

  async #carryOut(order: CommandOrder, signal: AbortSignal): Promise<CommandOutcome> {
    const outputs = this.#places.flatMap((place) =>
      place.kind === 'output' && place.fields.device === order.device ? [place] : [],
    );
    if (outputs.length === 0) return { state: 'failed', detail: 'the bridge has not begun yet' };
    const command = parseCommand(order, outputs);
    if (!command.ok) return { state: 'failed', detail: command.detail };
    const { output, condition } = command.output;
    if (condition.is === 'down') return { state: 'failed', detail: `not set: ${condition.why}` };
    if (signal.aborted) return { state: 'failed', detail: 'its time was over; not set' };
    try {
      await fulfil(output, command.wish);
    } catch (error) {
      if (!(error instanceof HubError)) throw error;
      return { state: 'failed', detail: describeError(error) };
    }
    const answer = JSON.stringify({ [output.fields.metric]: output.active });
    return { state: 'done', answer: Buffer.from(answer) };
  }
}

function fulfil(output: Output, wish: Wish): Promise<void> {
  switch (wish.is) {
    case 'set':
      return output.set(wish.active);
    case 'toggle':
      return output.set(!output.active);
    case 'pulse':
      return output.pulse(wish.durationMs);
  }
}

async function within(limitMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([work.catch(() => {}), late]);
  clearTimeout(timer);
}

class Once {
  #task: (() => void) | undefined;

  constructor(task: () => void) {
    this.#task = task;
  }

  call(): void {
    const task = this.#task;
    this.#task = undefined;
    task?.();
  }
}
