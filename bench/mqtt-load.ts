import { connect, type Socket } from 'node:net';

/**
 * mqtt-load.c for machines without a C compiler, with the same arguments and the same output. It
 * takes a core of its own, so figures made with it are too low; they still compare.
 */
const [port = 0, connections = 0, window = 0, messages = 0, payloadBytes = 0, rate = 0] =
  process.argv.slice(2).map(Number);

const PACKET_ID_MAX = 65_535;
const SILENCE_MS_MAX = 20_000;

function lengthPrefix(length: number): Buffer {
  const bytes: number[] = [];
  for (let rest = length; ; rest >>>= 7) {
    bytes.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) return Buffer.from(bytes);
  }
}

function text(value: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(Buffer.byteLength(value));
  return Buffer.concat([length, Buffer.from(value)]);
}

function packet(header: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([header]), lengthPrefix(body.length), body]);
}

class Publisher {
  readonly #socket: Socket;
  readonly #topic: Buffer;
  readonly #latenciesMs: number[];
  readonly #sentMs = new Map<number, number>();
  #rest: Buffer = Buffer.alloc(0);
  #toSend = 0;
  #total = 0;
  #sent = 0;
  #lastId = 0;
  #done = () => {};

  private constructor(socket: Socket, index: number, latenciesMs: number[]) {
    this.#socket = socket;
    this.#topic = text(`site/bench/dev${index}/temp`);
    this.#latenciesMs = latenciesMs;
  }

  /** Resolves after the CONNACK. */
  static async open(index: number, latenciesMs: number[]): Promise<Publisher> {
    const socket = connect(port, '127.0.0.1').setNoDelay(true).setTimeout(SILENCE_MS_MAX);
    socket.once('timeout', () => socket.destroy(new Error('the broker is silent')));
    const hello = Buffer.from([4, 0x02, 0, 0]); // MQTT 3.1.1, clean session, no keep alive
    socket.write(packet(0x10, text('MQTT'), hello, text(`load-${index}`)));
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('data', (answer) => {
        if (answer[0] === 0x20 && answer[3] === 0) resolve();
        else reject(new Error(`refused with code ${answer[3]}`));
      });
    });
    return new Publisher(socket, index, latenciesMs);
  }

  /** Resolves with the PUBACK of the last of `total`; sends as many as it is allowed. */
  run(total: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#total = total;
      this.#done = resolve;
      this.#socket.once('error', reject);
      this.#socket.once('close', () => reject(new Error('the broker closed a connection')));
      this.#socket.on('data', (data) => this.#take(data));
      this.#fill();
    });
  }

  allow(toSend: number): void {
    this.#toSend = toSend;
    this.#fill();
  }

  close(): void {
    this.#socket.removeAllListeners('close').destroy();
  }

  #fill(): void {
    const packets: Buffer[] = [];
    while (this.#sent < this.#toSend && this.#sentMs.size < window) packets.push(this.#publish());
    if (packets.length > 0) this.#socket.write(Buffer.concat(packets));
    if (this.#sent === this.#total && this.#sentMs.size === 0) this.#done();
  }

  #publish(): Buffer {
    this.#lastId = (this.#lastId % PACKET_ID_MAX) + 1;
    const value = (20 + (this.#sent % 1000) / 100).toFixed(2);
    const head = `{"t":${Date.now()},"v":${value},"n":${this.#sent},"pad":"`;
    const payload = Buffer.from(`${head.padEnd(payloadBytes - 2, 'x')}"}`);
    const id = Buffer.from([this.#lastId >> 8, this.#lastId & 255]);
    this.#sentMs.set(this.#lastId, performance.now());
    this.#sent += 1;
    return packet(0x32, this.#topic, id, payload);
  }

  #take(data: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, data]);
    const arrivedMs = performance.now();
    let at = 0;
    for (; this.#rest.length - at >= 4; at += 4) {
      const id = this.#rest.readUInt16BE(at + 2);
      const sentMs = this.#sentMs.get(id);
      if (this.#rest[at] !== 0x40 || sentMs === undefined) {
        this.#socket.destroy(new Error(`PUBACK for id ${id}, which is not in flight`));
        return;
      }
      this.#latenciesMs.push(arrivedMs - sentMs);
      this.#sentMs.delete(id);
    }
    this.#rest = this.#rest.subarray(at);
    this.#fill();
  }
}

const latenciesMs: number[] = [];
const publishers: Publisher[] = [];
for (let i = 0; i < connections; i++) publishers.push(await Publisher.open(i, latenciesMs));

const shareOf = (index: number, count: number) =>
  Math.floor(count / connections) + (index < count % connections ? 1 : 0);
/** Gives each connection its share of the first `count`. */
const allow = (count: number) => {
  for (const [index, publisher] of publishers.entries()) publisher.allow(shareOf(index, count));
};
const startedMs = performance.now();
const published = Promise.all(publishers.map((each, index) => each.run(shareOf(index, messages))));
if (rate === 0) allow(messages);
const pace = setInterval(() => {
  const due = Math.floor(((performance.now() - startedMs) / 1000) * rate) + 1;
  if (rate > 0) allow(Math.min(due, messages));
}, 1);
await published;
clearInterval(pace);
const seconds = (performance.now() - startedMs) / 1000;
for (const publisher of publishers) publisher.close();
latenciesMs.sort((a, b) => a - b);
const at = (share: number) => latenciesMs[Math.floor((latenciesMs.length - 1) * share)] ?? 0;
const ackMs = { p50: at(0.5), p99: at(0.99), max: at(1) };
console.log(JSON.stringify({ messages: latenciesMs.length, seconds, ackMs }));
