/**
 * The programs of i2c-tools: what they are asked, and what they answer. Everything in a line is a
 * word of ours or a number, so nothing in it means anything to a shell.
 */
const hex = (value: number): string => `0x${value.toString(16).padStart(2, '0')}`;
const words = (bytes: Buffer): string[] => [...bytes].map(hex);

/** What the adapter of a bus can do, as `i2cdetect -F` says it. */
export interface Abilities {
  /** Transfers of any shape. Without it only the few shapes of SMBus are possible. */
  readonly i2c: boolean;
  readonly blockRead: boolean;
  readonly blockWrite: boolean;
}

/** BusyBox has programs of the same names: they fail at this, and read words without a low byte. */
export const VERSION_LINE = 'i2ctransfer -V';
export const abilitiesLine = (bus: number): string => `i2cdetect -F ${bus}`;

/** Undefined when it is no such list. */
export function parseAbilities(lines: readonly string[]): Abilities | undefined {
  const found = new Map(
    lines.flatMap((line) => {
      const [, name, can] = /^(.*\S)\s+(yes|no)$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, can === 'yes'] as const];
    }),
  );
  const i2c = found.get('I2C');
  if (i2c === undefined) return undefined;
  const blockRead = found.get('I2C Block Read') ?? false;
  return { i2c, blockRead, blockWrite: found.get('I2C Block Write') ?? false };
}

/**
 * One transfer: `write` goes out, and without a stop in between `read` bytes come in. Either may be
 * nothing.
 */
export interface Transfer {
  readonly address: number;
  readonly write: Buffer;
  readonly read: number;
}

/** `little`: the answer is one word, whose low byte came first. */
export type ToolLine =
  | { readonly ok: true; readonly line: string; readonly answer: 'bytes' | 'word' }
  | { readonly ok: false; readonly problem: string };

const asked = (parts: readonly (string | number)[], answer: 'bytes' | 'word' = 'bytes') =>
  ({ ok: true, line: parts.join(' '), answer }) as const;

/** How the adapter is asked for a transfer, or why it cannot do it. */
export function transferLine(bus: number, transfer: Transfer, abilities: Abilities): ToolLine {
  const { address, write, read } = transfer;
  if (!abilities.i2c) return smbusLine(bus, transfer, abilities);
  const writes = write.length > 0 ? [`w${write.length}@${hex(address)}`, ...words(write)] : [];
  const at = write.length > 0 ? '' : `@${hex(address)}`;
  const reads = read > 0 ? [`r${read}${at}`] : [];
  return asked(['i2ctransfer', '-y', bus, ...writes, ...reads]);
}

function smbusLine(bus: number, transfer: Transfer, abilities: Abilities): ToolLine {
  const { address, write, read } = transfer;
  const [first, ...others] = words(write);
  const get = ['i2cget', '-y', bus, hex(address)];
  const set = ['i2cset', '-y', bus, hex(address)];
  if (read > 0) {
    if (first === undefined && read === 1) return asked(get);
    if (first === undefined || others.length > 0)
      return cannot(`read of ${read} bytes after a write of ${write.length}`);
    if (read === 1) return asked([...get, first, 'b']);
    if (abilities.blockRead) return asked([...get, first, 'i', read]);
    return read === 2 ? asked([...get, first, 'w'], 'word') : cannot(`read of ${read} bytes`);
  }
  if (first === undefined) return cannot('transfer of nothing');
  const [low, high] = others;
  if (low === undefined) return asked([...set, first, 'c']);
  if (high === undefined) return asked([...set, first, low, 'b']);
  if (abilities.blockWrite) return asked([...set, first, ...others, 'i']);
  if (others.length > 2) return cannot(`write of ${write.length} bytes`);
  return asked([...set, first, `0x${high.slice(2)}${low.slice(2)}`, 'w']);
}

function cannot(what: string): ToolLine {
  return { ok: false, problem: `the adapter speaks only SMBus, which has no ${what}` };
}

/** The bytes that were read, in the order of the wire; undefined when the lines are not those. */
export function parseAnswer(
  lines: readonly string[],
  answer: 'bytes' | 'word',
  length: number,
): Buffer | undefined {
  const text = lines.join(' ').trim();
  if (length === 0) return Buffer.alloc(0);
  if (!/^0x[0-9a-f]+( 0x[0-9a-f]+)*$/.test(text)) return undefined;
  if (answer === 'word') {
    const word = Number(text);
    return Buffer.from([word & 0xff, word >> 8]);
  }
  const bytes = Buffer.from(text.split(' ').map(Number));
  return bytes.length === length ? bytes : undefined;
}

/** Why a program of i2c-tools failed. */
export type ToolProblem =
  /** The bus is not there any more, or may not be used. */
  | { readonly is: 'no_bus'; readonly detail: string }
  | { readonly is: 'denied'; readonly detail: string }
  /** A driver of the kernel has the address. */
  | { readonly is: 'taken' }
  /** Nobody said that it is there, or the bus is stuck. */
  | { readonly is: 'no_answer'; readonly detail: string }
  | { readonly is: 'missing_tool' };

const NOT_FOUND = 127;

/** The words of strerror in the C locale, as i2ctransfer repeats them. */
const REASONS: readonly (readonly [RegExp, string])[] = [
  [/Remote I\/O error|No such device or address/, 'it does not acknowledge its address'],
  [/timed out/, 'the bus did not get free: a device or a short circuit holds SDA or SCL low'],
  [/Resource temporarily unavailable/, 'another master was on the bus'],
  [/not supported/, 'the adapter cannot do this transfer'],
];

export function problemOf(code: number, lines: readonly string[]): ToolProblem {
  const text = lines.find((line) => line.startsWith('Error: ')) ?? lines.at(-1) ?? '';
  if (code === NOT_FOUND) return { is: 'missing_tool' };
  if (/Could not open file/.test(text))
    return { is: text.includes('Permission denied') ? 'denied' : 'no_bus', detail: text };
  if (/Device or resource busy/.test(text)) return { is: 'taken' };
  const known = REASONS.find(([pattern]) => pattern.test(text));
  return { is: 'no_answer', detail: known?.[1] ?? text.replace('Error: ', '') };
}
