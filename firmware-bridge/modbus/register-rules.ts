/** What a register map must hold besides the types of its keys. Every problem names its key. */
import type { z } from 'zod';
import { checkQuantity, checkUnits } from '../register/fields.ts';
import {
  ADDRESS_MAX,
  type ModbusFields,
  type RegisterFields,
  type SlaveFields,
  type TransportFields,
} from './fields.ts';
import { holdsBits, lengthOf, metricsOf } from './register-map.ts';
import { isWideNumber, REGISTER_BITS } from './register-type.ts';

type Report = (path: readonly (string | number)[], message: string) => void;

/** On a serial line 0 is for everybody and 248 to 255 for nobody. */
const SERIAL_UNIT_MAX = 247;

/** Adds an issue for everything that is wrong in the options of a modbus bridge. */
export function checkMap(options: ModbusFields, context: z.RefinementCtx): void {
  const report: Report = (path, message) =>
    context.addIssue({ code: 'custom', path: [...path], message });
  if (options.transport.type === 'rtu' && options.transport.data_bits !== 8)
    report(['transport', 'data_bits'], 'is 7, and RTU sends bytes of 8 bits: write 8');
  const { slaves } = options;
  for (const [i, slave] of slaves.entries()) {
    const inSlave: Report = (path, message) => report(['slaves', i, ...path], message);
    checkUnit(slave, options.transport, inSlave);
    for (const key of ['unit', 'device'] as const) {
      const first = slaves.findIndex((other) => other[key] === slave[key]);
      if (first < i) inSlave([key], `is the ${key} of slaves[${first}] too`);
    }
    checkSlave(slave, inSlave);
  }
  const devices = slaves.map(({ device, registers }) => ({
    device,
    measured: registers.filter(({ type }) => type !== 'bits'),
  }));
  checkUnits(devices, (i, register, message) => {
    const place = slaves[i]?.registers.indexOf(register) ?? 0;
    report(['slaves', i, 'registers', place, 'unit'], message);
  });
}

function checkUnit({ unit }: SlaveFields, { type }: TransportFields, report: Report): void {
  if (type === 'tcp' || (unit >= 1 && unit <= SERIAL_UNIT_MAX)) return;
  report(['unit'], `is ${unit}; slaves on a serial line have 1 to ${SERIAL_UNIT_MAX}`);
}

function checkSlave(slave: SlaveFields, report: Report): void {
  for (const [i, { from, to }] of slave.holes.entries())
    if (to < from) report(['holes', i, 'to'], `is ${to}, which is before \`from\`: ${from}`);
  const owners = new Map<string, number>();
  for (const [i, register] of slave.registers.entries()) {
    const inRegister: Report = (path, message) => report(['registers', i, ...path], message);
    checkType(register, inRegister);
    checkNumbers(register, inRegister);
    checkWritable(register, inRegister);
    checkPlace(slave, i, inRegister);
    for (const metric of metricsOf(register)) {
      const owner = owners.get(metric);
      if (owner !== undefined)
        inRegister(['metric'], `gives the metric \`${metric}\`, as registers[${owner}] does`);
      owners.set(metric, owner ?? i);
    }
  }
}

function checkType(register: RegisterFields, report: Report): void {
  const { kind, type, bit, bits, length } = register;
  if (holdsBits(kind) && type !== undefined && type !== 'bool')
    report(['type'], `is \`${type}\`, and a ${kind} holds one bit: leave it out`);
  if (bit !== undefined && (type !== 'bool' || holdsBits(kind)))
    report(['bit'], 'has a meaning only with `type: bool` in a register');
  if (type === 'bits' && (bits === undefined || Object.keys(bits).length === 0))
    report(['bits'], 'is needed with `type: bits`: names and bits, such as `{ fault: 3 }`');
  if (type !== 'bits' && bits !== undefined) report(['bits'], 'needs `type: bits`');
  if (type === 'string' && length === undefined)
    report(['length'], 'is needed with `type: string`: registers, two characters each');
  if (type !== 'string' && length !== undefined) report(['length'], 'needs `type: string`');
}

function checkNumbers(register: RegisterFields, report: Report): void {
  const type = holdsBits(register.kind) ? 'bool' : (register.type ?? 'uint16');
  checkQuantity(register, type, lengthOf(register) * REGISTER_BITS, report);
}

function checkWritable({ writable, kind, type = 'uint16', bit }: RegisterFields, report: Report) {
  if (!writable) return;
  if (kind === 'input' || kind === 'discrete')
    report(['writable'], `is true, and the standard has no way to write kind \`${kind}\``);
  else if (kind === 'holding' && !isWideNumber(type) && !(type === 'bool' && bit === undefined))
    report(['writable'], 'is possible for whole numbers of registers and coils, not for parts');
}

function checkPlace(slave: SlaveFields, index: number, report: Report): void {
  const register = slave.registers[index];
  if (register === undefined) return;
  const { kind, address } = register;
  const length = lengthOf(register);
  const last = address + length - 1;
  const span = length === 1 ? `${address}` : `${address} to ${last}`;
  if (last > ADDRESS_MAX)
    report(['address'], `is ${span} with its ${length} registers; the last one is ${ADDRESS_MAX}`);
  const hole = slave.holes.find(
    (one) => one.kind === kind && one.from <= last && address <= one.to,
  );
  if (hole) report(['address'], `is ${span}, in the hole ${hole.from} to ${hole.to}`);
  const most = holdsBits(kind) ? slave.reads.coils_max : slave.reads.registers_max;
  if (length > most)
    report(['address'], `takes ${length} registers, and \`reads\` allows ${most} at once`);
  const other = slave.registers.findIndex((one, i) => i < index && overlaps(one, register));
  if (other >= 0)
    report(['address'], `is ${span}, which overlaps with registers[${other}] of the same kind`);
}

/** The same registers may be read as two things; a part of a wide value is a mistake. */
function overlaps(one: RegisterFields, other: RegisterFields): boolean {
  if (one.kind !== other.kind) return false;
  const [length, otherLength] = [lengthOf(one), lengthOf(other)];
  if (one.address === other.address && length === otherLength) return false;
  return one.address < other.address + otherLength && other.address < one.address + length;
}
