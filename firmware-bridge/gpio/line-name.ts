import { HEADER_PINS, headerPin, pinOfBcm } from './header-pins.ts';

/** How a line is found: by its offset on the chip (on a header: the BCM number), or by its name. */
export type LineReference =
  | { readonly by: 'offset'; readonly offset: number; readonly pin?: number }
  | { readonly by: 'name'; readonly name: string };

export type ParsedLine =
  | { readonly ok: true; readonly line: LineReference }
  | { readonly ok: false; readonly problem: string };

/** The largest chip that a kernel knows has fewer. */
export const OFFSET_MAX = 1_023;
/** GPIO_MAX_NAME_SIZE of the kernel's interface, without its NUL. */
const NAME_CHARACTERS_MAX = 31;

/**
 * `17`, `GPIO17` and `BCM17` are line 17 of the chip; `pin 11` is that pin of the header; anything
 * else is the name that the kernel has for a line.
 */
export function parseLine(written: number | string): ParsedLine {
  const text = String(written).trim();
  const number = /^(?:GPIO|BCM)?[ _]?(\d{1,9})$/i.exec(text)?.[1];
  if (number !== undefined) return byOffset(Number(number));
  const pin = /^(?:pin|physical)[ _]?(\d{1,9})$/i.exec(text)?.[1];
  if (pin !== undefined) return byPin(Number(pin));
  if (typeof written === 'number') return wrong(`is ${text}, which is no number of a line`);
  if (text === '' || text.length > NAME_CHARACTERS_MAX)
    return wrong(`is no name of a line: those have 1 to ${NAME_CHARACTERS_MAX} characters`);
  // gpiod takes what begins with `-` for an option, and `=` and `"` for more than a name
  if (!/^[\x21-\x7e ]+$/.test(text) || /^-|[="]/.test(text))
    return wrong(`is \`${text}\`, which is no name of a line; \`gpioinfo\` lists them`);
  return { ok: true, line: { by: 'name', name: text } };
}

/** One text for every way to write a line, so that two entries for it are found. */
export function keyOfLine(line: LineReference): string {
  return line.by === 'offset' ? `#${line.offset}` : line.name;
}

/** As people know it: `GPIO17 (pin 11)` on a header, `line 17` elsewhere, or its name. */
export function describeLine(line: LineReference, onHeader: boolean): string {
  if (line.by === 'name') return `line "${line.name}"`;
  if (!onHeader) return `line ${line.offset}`;
  const pin = pinOfBcm(line.offset);
  return pin === undefined ? `GPIO${line.offset}` : `GPIO${line.offset} (pin ${pin})`;
}

function byOffset(offset: number): ParsedLine {
  if (offset > OFFSET_MAX)
    return wrong(`is line ${offset}; no chip has more than ${OFFSET_MAX + 1}`);
  return { ok: true, line: { by: 'offset', offset } };
}

function byPin(pin: number): ParsedLine {
  const what = headerPin(pin);
  if (what === undefined) return wrong(`is pin ${pin}, and the header has 1 to ${HEADER_PINS}`);
  if (typeof what === 'string') return wrong(`is pin ${pin} of the header: ${what}, no GPIO`);
  return { ok: true, line: { by: 'offset', offset: what, pin } };
}

const wrong = (problem: string): ParsedLine => ({ ok: false, problem });
