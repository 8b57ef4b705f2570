/**
 * What a channel of hwmon measures, by its name, and how a value of the kernel
 * (Documentation/hwmon/sysfs-interface.rst) becomes one in units that people expect.
 */
interface Quantity {
  readonly metric: string;
  readonly unit: string | undefined;
  /** From the unit of the kernel. */
  readonly factor: number;
  /** 0 and 1 are no and yes. */
  readonly isAlarm: boolean;
}

const MILLI = 1e-3;
const MICRO = 1e-6;

const QUANTITIES: Readonly<Record<string, Omit<Quantity, 'isAlarm'>>> = {
  temp: { metric: 'temperature', unit: '°C', factor: MILLI },
  in: { metric: 'voltage', unit: 'V', factor: MILLI },
  curr: { metric: 'current', unit: 'A', factor: MILLI },
  power: { metric: 'power', unit: 'W', factor: MICRO },
  energy: { metric: 'energy', unit: 'J', factor: MICRO },
  humidity: { metric: 'humidity', unit: '%', factor: MILLI },
  fan: { metric: 'fan', unit: 'rpm', factor: 1 },
  freq: { metric: 'frequency', unit: 'Hz', factor: 1 },
};

const NAME = /^(?<type>[a-z]+)(?<index>\d+)(?:_(?<alarm>(?:[a-z]+_)?alarm))?$/;

/** Undefined: it is no channel whose meaning is known. */
export function channelTypeOf(name: string): Quantity | undefined {
  const { type = '', index = '', alarm } = NAME.exec(name)?.groups ?? {};
  if (type === 'intrusion' && alarm === 'alarm')
    return { metric: name, unit: undefined, factor: 1, isAlarm: true };
  const quantity = QUANTITIES[type];
  if (quantity === undefined) return undefined;
  const metric = `${quantity.metric}${index}`;
  if (alarm === undefined) return { ...quantity, metric, isAlarm: false };
  return { metric: `${metric}_${alarm}`, unit: undefined, factor: 1, isAlarm: true };
}

/** Names that chips often have: their units are known before the chips are there. */
export const USUAL_CHANNELS: readonly string[] = Object.keys(QUANTITIES).flatMap((type) =>
  Array.from({ length: 32 }, (_, i) => `${type}${i}`),
);
