/** Which options belong together: one that nothing reads would look as if it did something. */

import { formatProblems, misplaced, type OptionProblem } from '../format/fields.ts';

interface Combination {
  readonly port?: string | undefined;
  readonly usb?: unknown;
  readonly framing: string;
  readonly format: string;
  readonly checksum?: string | undefined;
  readonly frame_bytes?: number | undefined;
  readonly delimiter?: string | undefined;
  readonly pattern?: string | undefined;
  readonly topic: string;
  readonly write?: unknown;
}

/** Options that only some framings read. */
const OF_FRAMING: Readonly<Record<string, readonly string[]>> = {
  delimiter: ['delimiter'],
  frame_bytes: ['fixed'],
  start_bytes: ['fixed', 'length_prefixed'],
  length_bytes: ['length_prefixed'],
  length_byte_order: ['length_prefixed'],
  length_includes_checksum: ['length_prefixed'],
};
const BINARY_FORMATS: ReadonlySet<string> = new Set(['cbor', 'messagepack']);
const TEXT_FRAMINGS: ReadonlySet<string> = new Set(['lines', 'delimiter']);

export function combinationProblems(value: Combination): OptionProblem[] {
  const { framing } = value;
  return [
    ...whichPort(value),
    ...misplaced(value, OF_FRAMING, 'framing', framing),
    ...formatProblems(value),
    ...missing(value, 'delimiter', framing === 'delimiter', '`framing: delimiter`'),
    ...missing(value, 'frame_bytes', framing === 'fixed', '`framing: fixed`'),
    ...checksumInText(value),
    ...binaryInText(value),
    ...linkIsWhole(value),
  ];
}

function whichPort({ port, usb }: Combination): OptionProblem[] {
  if ((port === undefined) !== (usb === undefined)) return [];
  const message =
    port === undefined
      ? 'is missing: the path of the port (`ls /dev/serial/by-id/` shows them), or `usb`'
      : 'is given, and `usb` too: one of them says which port it is';
  return [{ key: 'port', message }];
}

function missing(value: object, key: string, needed: boolean, by: string): OptionProblem[] {
  if (!needed || Reflect.get(value, key) !== undefined) return [];
  return [{ key, message: `is missing: ${by} needs it` }];
}

function checksumInText({ framing, format, checksum }: Combination): OptionProblem[] {
  const isText = TEXT_FRAMINGS.has(framing);
  if (format === 'nmea' && !isText)
    return [{ key: 'framing', message: 'must be `lines` with `format: nmea`' }];
  if (format === 'nmea' && checksum !== undefined && checksum !== 'nmea')
    return [{ key: 'checksum', message: 'is `nmea` with `format: nmea`, and nothing else' }];
  if (checksum === 'nmea' && !isText)
    return [{ key: 'checksum', message: '`nmea` is for `framing: lines` or `delimiter`' }];
  return [];
}

function binaryInText({ framing, format }: Combination): OptionProblem[] {
  if (!BINARY_FORMATS.has(format) || !TEXT_FRAMINGS.has(framing)) return [];
  const message = `does not go with \`format: ${format}\`, which has any bytes in it: use \`cobs\``;
  return [{ key: 'framing', message }];
}

/** Holdfast Link has its own checksum, limits, devices and answers. */
function linkIsWhole({ framing, format, checksum, topic, write }: Combination): OptionProblem[] {
  if (format !== 'link') return [];
  const problems: OptionProblem[] = [];
  if (framing !== 'cobs')
    problems.push({ key: 'framing', message: 'must be `cobs` with `format: link`' });
  if (checksum !== undefined)
    problems.push({ key: 'checksum', message: 'is a part of `format: link`; leave it out' });
  if (write !== undefined)
    problems.push({
      key: 'write',
      message: 'has no meaning with `format: link`, which answers itself',
    });
  const named = [...topic.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const isKnown = named.every((name) => name && ['bridge', 'device', 'metric'].includes(name));
  if (!isKnown || !named.includes('device') || !named.includes('metric')) {
    const message =
      'must have `{device}` and `{metric}` with `format: link`, and no other but `{bridge}`: ' +
      'for example `site/field/{device}/{metric}`';
    problems.push({ key: 'topic', message });
  }
  return problems;
}
