/** A command as what it asks of an output. Pure. */
import { z } from 'zod';
import type { CommandOrder } from '../../hub/core/command.ts';

const PAYLOAD_BYTES_MAX = 1_024;
/** Shorter than it takes to start the program that makes it. */
export const PULSE_MS_MIN = 10;
/** What gpioset counts in µs of 32 bits is 35 min. */
export const PULSE_MS_MAX = 30 * 60_000;

export type Wish =
  | { readonly is: 'set'; readonly active: boolean }
  | { readonly is: 'toggle' }
  | { readonly is: 'pulse'; readonly durationMs: number };

export type ParsedCommand<O> =
  | { readonly ok: true; readonly output: O; readonly wish: Wish }
  | { readonly ok: false; readonly detail: string };

interface Named {
  readonly fields: { readonly metric: string };
}

const WORDS: ReadonlyMap<unknown, boolean> = new Map<unknown, boolean>([
  ...([true, 1, 'on', 'true', '1'] as const).map((word) => [word, true] as const),
  ...([false, 0, 'off', 'false', '0'] as const).map((word) => [word, false] as const),
]);

const members = z.strictObject({
  metric: z.string().optional(),
  value: z.unknown().optional(),
  durationMs: z.number().optional(),
});

/** `outputs`: those of the device that the command is for. */
export function parseCommand<O extends Named>(
  order: Pick<CommandOrder, 'device' | 'name' | 'payload'>,
  outputs: readonly O[],
): ParsedCommand<O> {
  const { device, name } = order;
  const wrong = (detail: string) => ({ ok: false, detail: `${device}: ${detail}` }) as const;
  if (name !== 'set' && name !== 'toggle' && name !== 'pulse')
    return wrong(`there is no command \`${name}\`; there are \`set\`, \`toggle\` and \`pulse\``);
  const data = dataOf(name, order.payload);
  if (data === undefined)
    return wrong(`the data of \`${name}\` is not understood; expected ${EXAMPLES[name]}`);
  const output = chosen(outputs, data.metric);
  if (output === undefined) {
    const names = outputs.map(({ fields }) => `\`${fields.metric}\``).join(', ');
    return wrong(
      data.metric === undefined
        ? `which output is meant? It has ${names}: say so as \`metric\``
        : `there is no output \`${data.metric}\`; it has ${names}`,
    );
  }
  const wish = wishOf(name, data);
  return typeof wish === 'string' ? wrong(wish) : { ok: true, output, wish };
}

const EXAMPLES = {
  set: '`{"metric":"<name>","value":true}` or `true`',
  toggle: '`{"metric":"<name>"}` or none',
  pulse: '`{"metric":"<name>","durationMs":500}`',
} as const;

type Name = keyof typeof EXAMPLES;
type Data = z.output<typeof members>;

function dataOf(name: Name, payload: Buffer): Data | undefined {
  if (payload.length > PAYLOAD_BYTES_MAX) return undefined;
  const text = payload.toString('utf8').trim();
  let data: unknown;
  try {
    data = text === '' ? {} : JSON.parse(text);
  } catch {
    data = text; // on, off
  }
  if (name === 'set' && WORDS.has(data)) return { value: data };
  if (name === 'pulse' && typeof data === 'number') return { durationMs: data };
  const parsed = members.safeParse(data ?? {});
  return parsed.success ? parsed.data : undefined;
}

function chosen<O extends Named>(outputs: readonly O[], metric: string | undefined): O | undefined {
  if (metric === undefined) return outputs.length === 1 ? outputs[0] : undefined;
  return outputs.find(({ fields }) => fields.metric === metric);
}

function wishOf(name: Name, { value, durationMs }: Data): Wish | string {
  if (name !== 'pulse' && durationMs !== undefined)
    return `\`durationMs\` belongs to \`pulse\`, not to \`${name}\``;
  if (name !== 'set' && value !== undefined)
    return `\`value\` belongs to \`set\`, not to \`${name}\``;
  if (name === 'toggle') return { is: 'toggle' };
  if (name === 'set') {
    const active = WORDS.get(value);
    if (active === undefined) return `the data of \`set\` has no value; expected ${EXAMPLES.set}`;
    return { is: 'set', active };
  }
  if (durationMs === undefined) return `a pulse needs \`durationMs\`; expected ${EXAMPLES.pulse}`;
  if (!(durationMs >= PULSE_MS_MIN && durationMs <= PULSE_MS_MAX))
    return `a pulse takes ${PULSE_MS_MIN} ms to ${PULSE_MS_MAX / 60_000} min, not ${durationMs} ms`;
  return { is: 'pulse', durationMs: Math.round(durationMs) };
}
