import { isUtf8 } from 'node:buffer';
import { type Fields, type FieldValue, type Format, fieldValue } from './format.ts';

/**
 * InfluxDB's line protocol: `weather,site=roof temperature=21.5,ok=true 1700000000000000000`. The
 * measurement and the tags are for the topic; the time, in nanoseconds, becomes `time` in ms.
 */

/** As many readings as the decoder takes from one event (hub/process/decode). */
const FIELDS_MAX = 64;
const NUMBER_WITH_KIND = /^([+-]?\d{1,20})[iu]$/;
const TIME = /^\d{1,19}$/;

/** Cuts at `separator` where it is neither escaped nor inside quotes. */
function split(text: string, separator: string): string[] {
  const parts: string[] = [];
  let isQuoted = false;
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') isQuoted = !isQuoted;
    else if (text[at] === separator && !isQuoted) {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
  }
  parts.push(text.slice(from));
  return parts;
}

const unescaped = (text: string) => text.replaceAll(/\\([,= "\\])/g, '$1');

/** `key=value` pairs; undefined when one is none. */
function pairs<T>(parts: readonly string[], read: (value: string) => T | undefined) {
  const found: [string, T][] = [];
  for (const part of parts) {
    const [key = '', text = '', ...more] = split(part, '=');
    const value = read(text);
    if (key === '' || more.length > 0 || value === undefined) return undefined;
    found.push([unescaped(key), value]);
  }
  return found;
}

const tagValue = (text: string) => (text === '' ? undefined : unescaped(text));

function fieldOf(text: string): FieldValue | undefined {
  if (text.startsWith('"'))
    return text.length > 1 && text.endsWith('"') ? unescaped(text.slice(1, -1)) : undefined;
  if (/^(t|true)$/i.test(text)) return true;
  if (/^(f|false)$/i.test(text)) return false;
  const value = fieldValue(NUMBER_WITH_KIND.exec(text)?.[1] ?? text);
  return typeof value === 'number' ? value : undefined;
}

export const influx: Format = (frame) => {
  if (!isUtf8(frame)) return undefined;
  const text = frame.toString().trim();
  if (text === '' || text.startsWith('#')) return { kind: 'nothing' };
  const [head = '', body = '', time, ...more] = split(text, ' ').filter((part) => part !== '');
  const [measurement = '', ...tagTexts] = split(head, ',');
  const tags = pairs(tagTexts, tagValue);
  const values = pairs(split(body, ','), fieldOf);
  const isWhole = measurement !== '' && tags && values && more.length === 0;
  if (!isWhole || values.length > FIELDS_MAX || (time !== undefined && !TIME.test(time)))
    return undefined;
  const timed: [string, FieldValue][] =
    time === undefined ? [] : [['time', Math.floor(Number(time) / 1e6)]];
  const fields: Fields = Object.fromEntries([...timed, ...values]);
  const topicOnly = Object.fromEntries([...tags, ['measurement', unescaped(measurement)]]);
  return { kind: 'fields', fields, topicOnly };
};
