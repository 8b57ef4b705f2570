/** The registers of the configuration with every default in its place: what the rest works with. */
import { quantityFrom } from '../register/fields.ts';
import type { Quantity } from '../register/quantity.ts';
import type { Kind, ModbusFields, RegisterFields, SlaveFields } from './fields.ts';
import { isWideNumber, type Order, registersOf, type WideNumber } from './register-type.ts';

/** What is made of the content of a register. */
export type Content =
  | { readonly is: 'number'; readonly type: WideNumber; readonly order: Order }
  | { readonly is: 'flag'; readonly bit: number | undefined; readonly order: Order }
  | {
      readonly is: 'flags';
      readonly bits: readonly (readonly [string, number])[];
      readonly order: Order;
    }
  | { readonly is: 'text'; readonly order: Order };

/** An entry of `registers`: what is at `length` addresses from `address`. */
export interface RegisterEntry extends Omit<Quantity, 'type'> {
  readonly metric: string;
  readonly kind: Kind;
  readonly address: number;
  /** Registers, or coils. */
  readonly length: number;
  readonly content: Content;
  readonly intervalMs: number;
  readonly writable: boolean;
}

/** Coils and discrete inputs are single bits; the others are registers of 16. */
export const holdsBits = (kind: Kind): boolean => kind === 'coil' || kind === 'discrete';

export function lengthOf({ kind, type, length }: RegisterFields): number {
  if (holdsBits(kind) || type === undefined) return 1;
  if (type === 'string') return length ?? 1;
  return isWideNumber(type) ? registersOf(type) : 1;
}

function contentOf(register: RegisterFields, slave: SlaveFields): Content {
  const { kind, type = holdsBits(kind) ? 'bool' : 'uint16' } = register;
  const order: Order = {
    word: register.word_order ?? slave.word_order,
    byte: register.byte_order ?? slave.byte_order,
  };
  switch (type) {
    case 'bool':
      return { is: 'flag', bit: register.bit, order };
    case 'bits':
      return { is: 'flags', bits: Object.entries(register.bits ?? {}), order };
    case 'string':
      return { is: 'text', order };
    default:
      return { is: 'number', type, order };
  }
}

/** The metrics that an entry gives: one, or one a bit. */
export function metricsOf(register: RegisterFields): readonly string[] {
  if (register.type !== 'bits') return [register.metric];
  return Object.keys(register.bits ?? {}).map((name) => `${register.metric}_${name}`);
}

export function metricsOfEntry({ metric, content }: RegisterEntry): readonly string[] {
  return content.is === 'flags' ? content.bits.map(([name]) => `${metric}_${name}`) : [metric];
}

/** The entries of a slave, in the order of the configuration. */
export function entriesOf(slave: SlaveFields, defaults: ModbusFields): readonly RegisterEntry[] {
  return slave.registers.map((register) => ({
    metric: register.metric,
    kind: register.kind,
    address: register.address,
    length: lengthOf(register),
    content: contentOf(register, slave),
    ...quantityFrom(register),
    intervalMs: register.interval ?? slave.interval ?? defaults.interval,
    writable: register.writable,
  }));
}
