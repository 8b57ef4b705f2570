/** What ModemManager says of a modem. Where it is not installed, or has none, there is nothing. */
import { z } from 'zod';
import { askProgram } from '../../hub/machine/ask-program.ts';
import { rounded, type Values } from './values.ts';

/** A modem that is asked while it dials takes its time. */
const LIMITS = { timeoutMs: 10_000, outputBytesMax: 64 * 1024 };
/** Somebody may install it; looking costs a start of a program. */
const LOOK_AGAIN_MS = 600_000;

const text = z.string().optional();
const modemJson = z.object({
  modem: z.object({
    generic: z.object({
      'access-technologies': z.array(z.string()).optional(),
      'signal-quality': z.object({ value: text }).optional(),
      state: text,
    }),
    '3gpp': z.object({ 'operator-name': text }).optional(),
  }),
});
const signalJson = z.object({
  modem: z.object({ signal: z.record(z.string(), z.record(z.string(), z.string())) }),
});
/** Newer ways first: a modem in both has its data over the newer one. */
const TECHNOLOGIES = ['5g', 'lte', 'umts', 'gsm', 'cdma1x', 'evdo'];
const STRENGTHS = ['rssi', 'rsrp', 'rsrq', 'snr'];

export class Modem {
  readonly #mmcli: string;
  #lookAgainMs = Number.NEGATIVE_INFINITY;

  constructor(mmcli: string) {
    this.#mmcli = mmcli;
  }

  /** `nowMs` is monotonic. */
  async read(nowMs: number, signal: AbortSignal): Promise<Values> {
    if (nowMs < this.#lookAgainMs) return [];
    const printed = await askProgram(this.#mmcli, ['-m', 'any', '-J'], signal, LIMITS);
    if (printed.outcome === 'missing') this.#lookAgainMs = nowMs + LOOK_AGAIN_MS;
    const values = printed.outcome === 'printed' ? modemValues(printed.text) : [];
    if (values.length === 0) return [];
    const args = ['-m', 'any', '--signal-get', '-J'];
    const strength = await askProgram(this.#mmcli, args, signal, LIMITS);
    return [...values, ...(strength.outcome === 'printed' ? signalValues(strength.text) : [])];
  }
}

/** `mmcli -m any -J` → what is in it; empty when it is none. */
export function modemValues(printed: string): Values {
  const found = modemJson.safeParse(jsonOf(printed));
  if (!found.success) return [];
  const { generic, '3gpp': network } = found.data.modem;
  const quality = generic['signal-quality']?.value;
  const operator = network?.['operator-name'];
  const technologies = (generic['access-technologies'] ?? []).filter(isKnown);
  return [
    ...(isKnown(generic.state) ? [['modem_state', generic.state] as const] : []),
    ...(isKnown(quality) ? rounded('modem_signal', Number(quality), 0) : []),
    ...(isKnown(operator) ? [['modem_operator', operator] as const] : []),
    ...(technologies.length > 0 ? [['modem_technology', technologies.join('+')] as const] : []),
  ];
}

/** `mmcli -m any --signal-get -J` → strengths; only there after `--signal-setup=30`. */
export function signalValues(printed: string): Values {
  const found = signalJson.safeParse(jsonOf(printed));
  if (!found.success) return [];
  for (const technology of TECHNOLOGIES) {
    const strengths = found.data.modem.signal[technology] ?? {};
    const values = STRENGTHS.flatMap((name) => {
      const value = strengths[name];
      return isKnown(value) ? rounded(`modem_${name}`, Number(value), 1) : [];
    });
    if (values.length > 0) return values;
  }
  return [];
}

/** mmcli writes `--` for what it does not know. */
const isKnown = (value: string | undefined): value is string =>
  value !== undefined && value !== '' && value !== '--';

function jsonOf(printed: string): unknown {
  try {
    return JSON.parse(printed);
  } catch {
    return undefined;
  }
}
