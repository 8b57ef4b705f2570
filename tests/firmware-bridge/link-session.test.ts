import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { DeviceMemory, STATE_PREFIX } from '../../firmware-bridge/link/device-memory.ts';
import { linkFactory } from '../../firmware-bridge/link/factory.ts';
import { encodeFrame } from '../../firmware-bridge/link/frame.ts';
import { LinkSession } from '../../firmware-bridge/link/session.ts';
import type {
  SessionMessage,
  SessionOutput,
  SessionTime,
} from '../../firmware-bridge/serial/session.ts';
import { LinkBoard } from '../support/link-board.ts';
import { chooseSeed, seededRandom } from '../support/seeded-random.ts';

const RUNS = Number(process.env['HOLDFAST_LINK_RUNS'] ?? 500);
const STEPS = 400;

function topic(device: string, metric: string): string {
  return `site/field/${device}/${metric}`;
}

/** A hub whose log takes messages when it is told to, and keeps state with them. */
class Hub {
  readonly #random: () => number;
  readonly state = new Map<string, unknown>();
  /** Payloads on stable storage, in the order in which they became durable. */
  readonly stored: number[] = [];
  /** Handed over, and not durable. */
  waiting: SessionMessage[] = [];
  readonly #outputs = new Map<SessionMessage, readonly SessionMessage[]>();
  readonly written: Buffer[] = [];
  session: LinkSession;
  nowMs = 1_000;

  constructor(random: () => number) {
    this.#random = random;
    this.session = this.#open();
  }

  get now(): SessionTime {
    return { wallMs: 1_790_000_000_000 + this.nowMs, monotonicMs: this.nowMs, synced: true };
  }

  #open(): LinkSession {
    return new LinkSession({ state: new Map(this.state), topic, random: this.#random });
  }

  /** It is killed: what was not durable is gone. */
  restart(): void {
    this.waiting = [];
    this.#outputs.clear();
    this.session = this.#open();
    this.take(this.session.opened(this.now));
  }

  take({ messages = [], write }: SessionOutput): void {
    for (const message of messages) this.#outputs.set(message, messages);
    this.waiting.push(...messages);
    if (write && write.length > 0) this.written.push(write);
  }

  /** The message `index` becomes durable: the lanes of the log may overtake each other. */
  commit(index: number): void {
    const [message] = this.waiting.splice(index, 1);
    if (!message) return;
    this.stored.push(JSON.parse(message.payload.toString()).v);
    for (const { key, value } of message.state ?? [])
      if (value === undefined) this.state.delete(key);
      else this.state.set(key, JSON.parse(JSON.stringify(value)));
    const output = this.#outputs.get(message) ?? [];
    if (output.every((one) => !this.waiting.includes(one)))
      this.take(this.session.accepted(output));
  }
}

function once(values: readonly number[]): void {
  assert.equal(new Set(values).size, values.length, 'something is stored twice');
}

function noisy(bytes: Buffer, random: () => number, share: number): Buffer {
  const damaged = Buffer.from(bytes);
  if (random() < share) {
    const at = Math.floor(random() * damaged.length);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << Math.floor(random() * 8));
  }
  return damaged;
}

/** One long afternoon: whatever happens, in any order. */
function afternoon(seed: number): { board: LinkBoard; hub: Hub; produced: number } {
  const random = seededRandom(seed);
  const hub = new Hub(random);
  const board = new LinkBoard();
  const share = random() * 0.2;
  let produced = 0;
  let toHub = Buffer.alloc(0);
  const deliver = (bytes: Buffer) => hub.take(hub.session.receive(bytes, hub.now));
  const actions = [
    () => board.held.length < 40 && board.held.push(++produced),
    () => board.held.length < 40 && board.held.push(++produced),
    () => {
      toHub = Buffer.concat([toHub, noisy(board.next() ?? Buffer.alloc(0), random, share)]);
    },
    () => {
      const cut = Math.floor(random() * (toHub.length + 1));
      deliver(toHub.subarray(0, cut));
      toHub = toHub.subarray(cut);
    },
    () => {
      const bytes = hub.written.shift();
      if (bytes) board.receive(noisy(bytes, random, share));
    },
    () => hub.commit(Math.floor(random() * hub.waiting.length)),
    () => hub.take(hub.session.tick(hub.now)),
    () => {
      hub.nowMs += Math.floor(random() * 400);
      if (random() < 0.2) board.timeout();
    },
    () => random() < 0.15 && hub.restart(),
    () => random() < 0.03 && board.restart(),
    () => {
      if (random() >= 0.05) return; // the line is cut: what was on it is gone
      toHub = Buffer.alloc(0);
      hub.written.length = 0;
    },
  ];
  for (let step = 0; step < STEPS; step++) {
    actions[Math.floor(random() * actions.length)]?.();
    for (const value of board.acknowledged)
      assert.ok(hub.stored.includes(value), `${value} is acknowledged and not stored`);
    once(hub.stored);
  }
  return { board, hub, produced };
}

/** The line is whole again: what was left arrives. */
function evening({ board, hub }: { board: LinkBoard; hub: Hub }): void {
  for (let round = 0; round < 500 && board.held.length > 0; round++) {
    hub.nowMs += 300;
    if (round % 3 === 0) board.timeout();
    for (let frame = board.next(); frame; frame = board.up ? board.next() : undefined)
      hub.take(hub.session.receive(frame, hub.now));
    while (hub.waiting.length > 0) hub.commit(0);
    for (const bytes of hub.written.splice(0)) board.receive(bytes);
  }
}

test('each reading that was acknowledged is stored once, whatever is cut, damaged or killed', (t) => {
  const seed = chooseSeed();
  t.diagnostic(`HOLDFAST_SEED=${seed}`);
  for (let run = 0; run < RUNS; run++) {
    const day = afternoon(seed + run);
    evening(day);
    const { board, hub, produced } = day;
    assert.deepEqual(board.held, [], `run ${run}: not all has arrived`);
    once(hub.stored);
    assert.equal(hub.stored.length, produced);
  }
});

/** A board and a hub that have said hello, with `count` readings handed over. */
function started(count: number): { board: LinkBoard; hub: Hub } {
  const hub = new Hub(seededRandom(1));
  const board = new LinkBoard();
  board.held.push(...Array.from({ length: count }, (_, i) => i + 1));
  for (let i = 0; i <= count; i++) {
    hub.take(hub.session.receive(board.next() ?? Buffer.alloc(0), hub.now));
    for (const bytes of hub.written.splice(0)) board.receive(bytes);
  }
  return { board, hub };
}

test('nothing is acknowledged before it is durable, and a device that waits is told to', () => {
  const { board, hub } = started(20);
  assert.equal(hub.waiting.length, board.window, 'the window is all that waits');
  assert.deepEqual(board.acknowledged, []);
  hub.nowMs += 1_000;
  hub.take(hub.session.tick(hub.now));
  for (const bytes of hub.written.splice(0)) board.receive(bytes);
  assert.equal(board.waits, 1);
  assert.deepEqual(board.acknowledged, []);
  hub.commit(1);
  for (const bytes of hub.written.splice(0)) board.receive(bytes);
  assert.deepEqual(board.acknowledged, [], 'the second alone says nothing of the first');
  hub.commit(0);
  for (const bytes of hub.written.splice(0)) board.receive(bytes);
  assert.deepEqual(board.acknowledged, [1, 2]);
});

test('a number that was stored before the one ahead of it is neither asked for nor taken again', () => {
  const slots = [1, 3].map((sequence) => ({ session: 7, sequence }));
  const memory = new DeviceMemory('d', 7, 1, slots);
  assert.deepEqual([memory.last, memory.expected], [1, 2]);
  memory.handOver(0);
  memory.durable(2);
  assert.deepEqual([memory.last, memory.expected], [3, 4]);
  assert.equal(memory.judge(3), 'repeated');
});

test('a board without memory gets a new session, when nothing of the old one waits', () => {
  const { hub } = started(3);
  const anew = new LinkBoard();
  const hello = () => hub.take(hub.session.receive(anew.next() ?? Buffer.alloc(0), hub.now));
  hello();
  assert.equal(hub.written.length, 0, 'not yet: old readings are on their way into the log');
  while (hub.waiting.length > 0) hub.commit(0);
  hub.written.length = 0;
  hello();
  for (const bytes of hub.written.splice(0)) anew.receive(bytes);
  assert.ok(anew.up);
});

test('a board with an older memory than the hub loses nothing', () => {
  const { board, hub } = started(6);
  while (hub.waiting.length > 0) hub.commit(0);
  const { session } = board;
  hub.restart();
  hub.written.length = 0;
  const older = new LinkBoard();
  Object.assign(older, { session, first: 1, sent: 2, held: [101, 102] });
  for (let i = 0; i < 3; i++) {
    hub.take(hub.session.receive(older.next() ?? Buffer.alloc(0), hub.now));
    for (const bytes of hub.written.splice(0)) older.receive(bytes);
  }
  assert.notEqual(older.session, session);
  assert.equal(hub.waiting.length, 2);
});

test('a command goes to the device that is there, again until it answers, and fits its frame', () => {
  const { board, hub } = started(1);
  const order = (device: string, bytes = 2) => ({
    id: 'c-1',
    device,
    name: 'echo',
    payload: Buffer.alloc(bytes, 0x61),
  });
  const [refused] = hub.session.command(order('other'), hub.now).ended ?? [];
  assert.ok(refused?.outcome.state === 'failed');
  assert.match(refused.outcome.detail, /`other` does not answer on the port; `nano` is there/);
  const [large] = hub.session.command(order('nano', 200), hub.now).ended ?? [];
  assert.ok(large?.outcome.state === 'failed' && /`nano` takes 120/.test(large.outcome.detail));
  hub.take(hub.session.command(order('nano'), hub.now));
  hub.nowMs += 1_100;
  hub.take(hub.session.tick(hub.now));
  for (const bytes of hub.written.splice(0)) board.receive(bytes);
  assert.equal(board.answered.length, 2);
  assert.equal(board.answered[0], board.answered[1], 'the same number: it is done once');
});

test('a command is not said again to a device that says hello: it may have done it', () => {
  const { board, hub } = started(1);
  const order = { id: 'c-1', device: 'nano', name: 'restart', payload: Buffer.alloc(0) };
  hub.take(hub.session.command(order, hub.now));
  board.restart();
  const { ended } = hub.session.receive(board.next() ?? Buffer.alloc(0), hub.now);
  assert.equal(ended?.[0]?.outcome.state, 'failed');
  hub.written.length = 0;
  hub.nowMs += 1_100;
  hub.take(hub.session.tick(hub.now));
  for (const bytes of hub.written.splice(0)) board.receive(bytes);
  assert.deepEqual(board.answered, []);
});

test('a device that only answers commands is there', () => {
  const { hub } = started(0);
  for (let i = 0; i < 8; i++) {
    hub.nowMs += 9_000;
    hub.take(hub.session.tick(hub.now));
    const id = `c-${i}`;
    const order = { id, device: 'nano', name: 'echo', payload: Buffer.alloc(0) };
    assert.deepEqual(hub.session.command(order, hub.now).ended, [], `after ${9 * (i + 1)} s`);
    const body = Buffer.alloc(5);
    body.writeUInt32LE(crc32(id));
    const { ended } = hub.session.receive(encodeFrame(0x04, body), hub.now);
    assert.equal(ended?.[0]?.outcome.state, 'done');
  }
});

test('boards that say hello and nothing else leave nothing behind, the one with readings does', () => {
  const factory = linkFactory({
    topic: (_, device, metric) => topic(device, metric),
    random: seededRandom(1),
  });
  const session = factory.open('x', new Map());
  const now = { wallMs: 0, monotonicMs: 0, synced: false };
  const say = (board: LinkBoard) => {
    const output = session.receive(board.next() ?? Buffer.alloc(0), now, false);
    board.receive(output.write ?? Buffer.alloc(0));
    return output;
  };
  const keeper = new LinkBoard('keeper');
  keeper.held.push(1, 2);
  say(keeper);
  const { messages = [] } = say(keeper);
  session.accepted(messages, now);
  for (let i = 0; i < 1_000; i++) say(new LinkBoard(`board-${i}`));
  assert.equal(factory.owns('board-0', 'x'), false);
  assert.equal(factory.owns('board-999', 'x'), true);
  keeper.restart();
  say(keeper);
  assert.deepEqual(keeper.acknowledged, [1], 'its session goes on');
});

test('what a port remembers is bounded, and says whose commands go over it', () => {
  const state = new Map<string, unknown>();
  const keyOf = (i: number) => `${STATE_PREFIX}board-${String(i).padStart(2, '0')}/1`;
  for (let i = 0; i < 64; i++) state.set(keyOf(i), { session: i + 1, sequence: 1 });
  const factory = linkFactory({
    topic: (_, device, metric) => topic(device, metric),
    random: () => 0.5,
  });
  assert.equal(factory.owns('board-07', 'x'), undefined, 'nobody has said yet');
  factory.know?.(state);
  assert.equal(factory.owns('board-07', 'x'), true, 'also without its port');
  assert.equal(factory.owns('nano', 'x'), false);
  const session = factory.open('x', state);
  const board = new LinkBoard();
  board.held.push(1);
  const now = { wallMs: 0, monotonicMs: 0, synced: false };
  const { write } = session.receive(board.next() ?? Buffer.alloc(0), now, false);
  board.receive(write ?? Buffer.alloc(0));
  const { messages } = session.receive(board.next() ?? Buffer.alloc(0), now, false);
  const changes = messages?.[0]?.state ?? [];
  assert.ok(changes.some(({ key, value }) => key === keyOf(0) && value === undefined));
  assert.equal(factory.owns('nano', 'x'), true);
});
