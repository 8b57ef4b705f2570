import type { Format } from './format.ts';
import { nmea } from './nmea.ts';
import { csv, json, keyValue, number, raw, regex } from './text.ts';

/** The formats that one frame or line can have. */
export const FORMATS = [
  'json',
  'csv',
  'key_value',
  'regex',
  'number',
  'influx',
  'nmea',
  'cbor',
  'messagepack',
  'raw',
] as const;
export type FormatName = (typeof FORMATS)[number];

/** What some formats need, as the configuration has it (fields.ts). */
export interface FormatOptions {
  readonly columns?: readonly string[] | undefined;
  readonly csv_delimiter?: string | undefined;
  readonly pattern?: string | undefined;
}

/** Reads frames of this format. The libraries of a format are only loaded with it. */
export async function createFormat(name: FormatName, options: FormatOptions): Promise<Format> {
  switch (name) {
    case 'json':
      return json;
    case 'csv':
      return csv(options.columns, options.csv_delimiter ?? ',');
    case 'key_value':
      return keyValue;
    case 'regex':
      return regex(options.pattern ?? '');
    case 'number':
      return number;
    case 'influx':
      return (await import('./influx.ts')).influx;
    case 'nmea':
      return nmea;
    case 'cbor':
      return await (await import('./binary.ts')).cbor();
    case 'messagepack':
      return await (await import('./binary.ts')).messagepack();
    case 'raw':
      return raw;
  }
}
