/**
 * What a channel of Linux Industrial I/O measures, by its name, and how a value of the kernel
 * (Documentation/ABI/testing/sysfs-bus-iio) becomes one in units that people expect.
 */
interface Quantity {
  readonly metric: string;
  readonly unit: string | undefined;
  /** From the unit of the kernel. */
  readonly factor: number;
}

const MILLI = 1e-3;

const QUANTITIES: Readonly<Record<string, Quantity>> = {
  temp: { metric: 'temperature', unit: '°C', factor: MILLI },
  pressure: { metric: 'pressure', unit: 'hPa', factor: 10 },
  humidityrelative: { metric: 'humidity', unit: '%', factor: MILLI },
  voltage: { metric: 'voltage', unit: 'V', factor: MILLI },
  altvoltage: { metric: 'alternating_voltage', unit: 'V', factor: MILLI },
  current: { metric: 'current', unit: 'A', factor: MILLI },
  altcurrent: { metric: 'alternating_current', unit: 'A', factor: MILLI },
  power: { metric: 'power', unit: 'W', factor: MILLI },
  energy: { metric: 'energy', unit: 'J', factor: 1 },
  resistance: { metric: 'resistance', unit: 'Ω', factor: 1 },
  capacitance: { metric: 'capacitance', unit: 'nF', factor: 1 },
  illuminance: { metric: 'illuminance', unit: 'lx', factor: 1 },
  intensity: { metric: 'intensity', unit: undefined, factor: 1 },
  uvindex: { metric: 'uv_index', unit: undefined, factor: 1 },
  colortemp: { metric: 'color_temperature', unit: 'K', factor: 1 },
  proximity: { metric: 'proximity', unit: undefined, factor: 1 },
  distance: { metric: 'distance', unit: 'm', factor: 1 },
  accel: { metric: 'acceleration', unit: 'm/s²', factor: 1 },
  gravity: { metric: 'gravity', unit: 'm/s²', factor: 1 },
  anglvel: { metric: 'angular_velocity', unit: 'rad/s', factor: 1 },
  magn: { metric: 'magnetic_field', unit: 'µT', factor: 100 },
  incli: { metric: 'inclination', unit: '°', factor: 1 },
  rot: { metric: 'rotation', unit: '°', factor: 1 },
  angl: { metric: 'angle', unit: 'rad', factor: 1 },
  velocity: { metric: 'velocity', unit: 'm/s', factor: 1 },
  concentration: { metric: 'concentration', unit: '%', factor: 1 },
  massconcentration: { metric: 'mass_concentration', unit: 'µg/m³', factor: 1 },
  electricalconductivity: { metric: 'conductivity', unit: 'S/m', factor: 1 },
  ph: { metric: 'ph', unit: undefined, factor: 1 },
  steps: { metric: 'steps', unit: undefined, factor: 1 },
  count: { metric: 'count', unit: undefined, factor: 1 },
};

/** Of gases people say ppm; the kernel gives percent. */
const GAS: Pick<Quantity, 'unit' | 'factor'> = { unit: 'ppm', factor: 10_000 };
const GASES = new Set(['co2', 'voc', 'ethanol', 'h2']);

const NAME =
  /^(?<type>[a-z]+)(?<index>\d*)(?:-[a-z]+(?<minus>\d+))?(?:_(?<modifier>[a-z0-9_.()^+]+))?$/;

/** Undefined: it is no channel whose meaning is known. */
export function channelTypeOf(name: string): Quantity | undefined {
  const { type = '', index = '', minus, modifier } = NAME.exec(name)?.groups ?? {};
  const quantity = QUANTITIES[type];
  if (quantity === undefined) return undefined;
  const gas = type === 'concentration' && modifier !== undefined && GASES.has(modifier);
  const asMetric = modifier?.replaceAll(/[^a-z0-9]+/g, '_').replace(/_$/, '');
  const parts = [`${quantity.metric}${index}`, ...(minus ? [minus] : []), asMetric];
  return { ...quantity, ...(gas ? GAS : {}), metric: parts.filter(Boolean).join('_') };
}

/** Names that chips often have: their units are known before the chips are there. */
export const USUAL_CHANNELS: readonly string[] = [
  ...Object.keys(QUANTITIES),
  ...['temp', 'pressure', 'voltage', 'current', 'power', 'illuminance', 'resistance'].flatMap(
    (type) => Array.from({ length: 32 }, (_, i) => `${type}${i}`),
  ),
  ...['accel', 'gravity', 'anglvel', 'magn', 'incli'].flatMap((type) =>
    ['x', 'y', 'z'].map((axis) => `${type}_${axis}`),
  ),
  ...['temp_ambient', 'temp_object', 'concentration_co2', 'concentration_voc'],
  ...['concentration_ethanol', 'concentration_h2'],
  ...['pm1', 'pm2p5', 'pm4', 'pm10'].map((size) => `massconcentration_${size}`),
  ...[0, 1, 2, 3].flatMap((a) => [0, 1, 2, 3].map((b) => `voltage${a}-voltage${b}`)),
];
