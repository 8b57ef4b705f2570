import type { Fields, Format } from './format.ts';

/**
 * NMEA 0183 sentences. Those of position, wind, water and depth have names for their values; of
 * others the values are numbered from 1.
 */

type Cells = readonly string[];
type Read = (cells: Cells) => Readonly<Record<string, unknown>>;

/** An empty cell is a value that is not known. */
function number(cell: string | undefined): number | undefined {
  const text = cell?.trim() ?? '';
  return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : undefined;
}

/** `4807.038,N` → 48.1173: degrees and minutes, and which half of the world. */
function degrees(cell: string | undefined, half: string | undefined): number | undefined {
  const [, whole, minutes] = /^(\d{1,3})(\d\d(?:\.\d*)?)$/.exec(cell ?? '') ?? [];
  if (whole === undefined || minutes === undefined || !/^[NSEW]$/.test(half ?? ''))
    return undefined;
  const value = Number(whole) + Number(minutes) / 60;
  return Math.round((half === 'S' || half === 'W' ? -value : value) * 1e7) / 1e7;
}

/** `230394` and `123519.00` → ISO 8601. */
function time(date: string | undefined, clock: string | undefined): string | undefined {
  const [, day, month, year] = /^(\d\d)(\d\d)(\d\d)$/.exec(date ?? '') ?? [];
  const [, hour, minute, second] = /^(\d\d)(\d\d)(\d\d)(?:\.\d*)?$/.exec(clock ?? '') ?? [];
  if (day === undefined || hour === undefined) return undefined;
  const century = Number(year) < 80 ? 20 : 19; // GPS began in 1980
  return `${century}${year}-${month}-${day}T${hour}:${minute}:${second}Z`;
}

const position = (cells: Cells, at: number) => ({
  latitude: degrees(cells[at], cells[at + 1]),
  longitude: degrees(cells[at + 2], cells[at + 3]),
});

const SENTENCES: Readonly<Record<string, Read>> = {
  GGA: (c) => ({
    ...position(c, 1),
    fix_quality: number(c[5]),
    satellites: number(c[6]),
    hdop: number(c[7]),
    altitude: number(c[8]),
  }),
  RMC: (c) => ({
    time: time(c[8], c[0]),
    valid: c[1] === 'A',
    ...(c[1] === 'A' ? position(c, 2) : {}),
    speed_knots: number(c[6]),
    course: number(c[7]),
  }),
  GLL: (c) => (c[5] === 'V' ? { valid: false } : position(c, 0)),
  VTG: (c) => ({ course: number(c[0]), speed_knots: number(c[4]), speed_kmh: number(c[6]) }),
  GSA: (c) => ({
    fix: number(c[1]),
    pdop: number(c[14]),
    hdop: number(c[15]),
    vdop: number(c[16]),
  }),
  HDT: (c) => ({ heading: number(c[0]) }),
  DPT: (c) => ({ depth: number(c[0]), offset: number(c[1]) }),
  DBT: (c) => ({ depth: number(c[2]) }),
  MTW: (c) => ({ water_temperature: number(c[0]) }),
  MWV: (c) => ({
    wind_angle: number(c[0]),
    wind_reference: c[1] === 'T' ? 'true' : 'relative',
    wind_speed: number(c[2]),
    wind_unit: { K: 'km/h', M: 'm/s', N: 'kn', S: 'mph' }[c[3] ?? ''],
  }),
};

const numbered: Read = (cells) =>
  Object.fromEntries(
    cells.flatMap((cell, i) => (cell === '' ? [] : [[String(i + 1), number(cell) ?? cell]])),
  );

/** The checksum has been checked and taken away. */
export const nmea: Format = (frame) => {
  const [, head = '', rest = ''] =
    /^[$!]([A-Z0-9]{3,8}),(.*)$/.exec(frame.toString('latin1')) ?? [];
  if (head === '') return undefined;
  const isOwn = head.startsWith('P'); // a maker's own sentence
  const talker = isOwn ? 'P' : head.slice(0, 2);
  const sentence = head.slice(talker.length);
  const read = (isOwn ? undefined : SENTENCES[sentence]) ?? numbered;
  const known = Object.entries(read(rest.split(','))).filter(([, value]) => value !== undefined);
  if (known.length === 0) return { kind: 'nothing' };
  const topicOnly: Fields = { talker, sentence };
  return { kind: 'fields', fields: Object.fromEntries(known), topicOnly };
};
