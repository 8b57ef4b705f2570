/** The plugin's end of the channel: what `bridge` is to it. */
import { isUtf8 } from 'node:buffer';
import type { PluginBridge, PluginCommand, PluginCommandHandler, PluginData } from './api.ts';
import {
  DEVICES_MAX,
  type FromPlugin,
  type LogLevel,
  PAYLOAD_BYTES_MAX,
  TEXT_CHARACTERS_MAX,
  TOPIC_CHARACTERS_MAX,
  type ToPlugin,
  WAITING_BYTES_MAX,
  WAITING_MESSAGES_MAX,
} from './protocol.ts';

interface Waiting {
  readonly bytes: number;
  resolve(entries: readonly (readonly [string, unknown])[]): void;
  reject(error: Error): void;
}

type Order = ToPlugin & { is: 'order' };

export class BridgeEnd {
  readonly #tell: (message: FromPlugin) => void;
  readonly #stop = new AbortController();
  readonly #waiting = new Map<number, Waiting>();
  #waitingBytes = 0;
  #seq = 0;
  #handler: PluginCommandHandler | undefined;
  readonly #orders = new Map<string, AbortController>();

  constructor(tell: (message: FromPlugin) => void) {
    this.#tell = tell;
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  api(): Omit<PluginBridge, 'id' | 'lost'> {
    const log = (level: LogLevel) => (text: string) =>
      this.#tell({ is: 'log', level, text: shortened(text) });
    return {
      signal: this.signal,
      publish: (topic, data, options) => this.#publish(topic, data, options?.state ?? {}),
      loadState: async (prefix = '') =>
        new Map(await this.#ask(0, (seq) => ({ is: 'load', seq, prefix: String(prefix) }))),
      connected: () => this.#tell({ is: 'connected' }),
      describe: (text) =>
        this.#tell({ is: 'describe', text: text === undefined ? undefined : shortened(text) }),
      badFrames: (reason, count = 1) => this.#tell({ is: 'bad', reason, count: Number(count) }),
      commands: (devices, handler) => {
        if (typeof handler !== 'function') throw new TypeError('`commands` needs a function');
        if (devices.length > DEVICES_MAX)
          throw new RangeError(`commands: ${devices.length} devices; at most ${DEVICES_MAX}`);
        this.#handler = handler;
        this.#tell({ is: 'commands', devices: Array.from(devices, String) });
      },
      log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    };
  }

  hear(message: ToPlugin): void {
    switch (message.is) {
      case 'accepted':
        if (message.error === undefined) this.#answered(message.seq, []);
        else this.#take(message.seq)?.reject(new Error(message.error));
        break;
      case 'state':
        this.#answered(message.seq, message.entries);
        break;
      case 'order':
        this.#carryOut(message).catch((error: unknown) => {
          const detail = error instanceof Error ? error.message : String(error);
          this.#tell({ is: 'refused', id: message.id, detail });
        });
        break;
      case 'abandon':
        this.#orders.get(message.id)?.abort();
        break;
      case 'stop':
        this.#stop.abort();
        for (const seq of [...this.#waiting.keys()])
          this.#take(seq)?.reject(new Error('the hub is stopping'));
        break;
      case 'ping':
      case 'start':
        break;
    }
  }

  async #publish(topic: string, data: PluginData, state: Readonly<Record<string, unknown>>) {
    const problem = topicProblem(topic);
    if (problem !== undefined) throw new TypeError(`publish: the topic ${problem}`);
    const payload = bytesOf(data);
    if (payload === undefined) throw new TypeError('publish: there is no data');
    await this.#ask(payload.length, (seq) => ({
      is: 'publish',
      seq,
      topic,
      payload,
      state: Object.entries(state),
    }));
  }

  #ask(bytes: number, question: (seq: number) => FromPlugin) {
    if (this.signal.aborted) return Promise.reject(new Error('the hub is stopping'));
    const isFull =
      this.#waiting.size >= WAITING_MESSAGES_MAX || this.#waitingBytes + bytes > WAITING_BYTES_MAX;
    if (isFull)
      return Promise.reject(
        new RangeError(`${this.#waiting.size} messages wait for the log: \`await\` publish`),
      );
    const seq = this.#seq++;
    return new Promise<readonly (readonly [string, unknown])[]>((resolve, reject) => {
      this.#tell(question(seq)); // throws when the state cannot be sent
      this.#waiting.set(seq, { bytes, resolve, reject });
      this.#waitingBytes += bytes;
    });
  }

  #take(seq: number): Waiting | undefined {
    const waiting = this.#waiting.get(seq);
    this.#waiting.delete(seq);
    this.#waitingBytes -= waiting?.bytes ?? 0;
    return waiting;
  }

  #answered(seq: number, entries: readonly (readonly [string, unknown])[]): void {
    this.#take(seq)?.resolve(entries);
  }

  async #carryOut({ id, device, name, payload }: Order): Promise<void> {
    const abandoned = new AbortController();
    this.#orders.set(id, abandoned);
    const command: PluginCommand = {
      id,
      device,
      name,
      data: dataOf(Buffer.from(payload)),
      sent: () => this.#tell({ is: 'sent', id }),
      signal: abandoned.signal,
    };
    try {
      const answer = await Promise.resolve(this.#handler?.(command));
      this.#tell({ is: 'done', id, answer: answer === undefined ? undefined : bytesOf(answer) });
    } finally {
      this.#orders.delete(id);
    }
  }
}

const shortened = (text: string) => String(text).slice(0, TEXT_CHARACTERS_MAX);

function topicProblem(topic: unknown): string | undefined {
  if (typeof topic !== 'string' || topic === '') return 'is no text';
  if (topic.length > TOPIC_CHARACTERS_MAX) return `has over ${TOPIC_CHARACTERS_MAX} characters`;
  if (topic.startsWith('$') || topic.startsWith('holdfast/'))
    return `begins with \`$\` or \`holdfast/\`, which are reserved: ${topic}`;
  return /[+#\p{C}]/u.test(topic) ? `has a wildcard or a control character: ${topic}` : undefined;
}

/** Undefined for what JSON does not know. Throws when it is too large. */
function bytesOf(data: PluginData): Uint8Array | undefined {
  const bytes = data instanceof Uint8Array ? data : textBytesOf(data);
  if (bytes && bytes.length > PAYLOAD_BYTES_MAX)
    throw new RangeError(`${bytes.length} bytes of data; at most ${PAYLOAD_BYTES_MAX}`);
  return bytes;
}

function textBytesOf(data: Exclude<PluginData, Uint8Array>): Uint8Array | undefined {
  const text: string | undefined = typeof data === 'string' ? data : JSON.stringify(data);
  return text === undefined ? undefined : Buffer.from(text);
}

function dataOf(payload: Buffer): unknown {
  if (payload.length === 0) return undefined;
  if (!isUtf8(payload)) return payload;
  const text = payload.toString();
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
