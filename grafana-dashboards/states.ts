/** States as the numbers and colours that a state timeline needs: it cannot draw a label. */
import { MappingType, type ValueMap } from '@grafana/grafana-foundation-sdk/dashboard';

interface StateLook {
  readonly state: string;
  readonly color: string;
}

/** Of a sink's link, in the order of their numbers, from 1. */
export const SINK_STATES = [
  { state: 'connecting', color: 'yellow' },
  { state: 'reading', color: 'green' },
  { state: 'sending', color: 'dark-green' },
  { state: 'backoff', color: 'orange' },
  { state: 'paused', color: 'blue' },
  { state: 'halted', color: 'red' },
  { state: 'stopped', color: 'text' },
] as const satisfies readonly StateLook[];

/** Of a bridge, in the order of their numbers, from 1. */
export const BRIDGE_STATES = [
  { state: 'connecting', color: 'yellow' },
  { state: 'reading', color: 'green' },
  { state: 'backoff', color: 'orange' },
  { state: 'stopped', color: 'text' },
] as const satisfies readonly StateLook[];

/** A bridge that is read, and something of it is wrong: `reading` and this make its number. */
export const DEGRADED_MORE = 3;
export const BRIDGE_LOOKS = [
  ...BRIDGE_STATES,
  { state: 'degraded', color: 'dark-yellow' },
] as const satisfies readonly StateLook[];

/**
 * States in which a sink does not deliver although it should. `connecting` is one: an outage
 * alternates between it and `backoff`.
 */
export const SINK_DOWN_STATES = ['connecting', 'backoff', 'halted'] as const;

/**
 * The number of the present state, from 1, per hub and the label `by`. `gaugeOf` is 1 for the
 * present state and 0 for the others, and keeps the label `state`.
 */
export function stateNumber(
  gaugeOf: (state: string) => string,
  by: string,
  states: readonly StateLook[],
): string {
  const numbers = states.map(({ state }, index) => `${index + 1} * ${gaugeOf(state)}`);
  return `sum by (hub, ${by}) (${numbers.join(' or ')})`;
}

/** Turns the numbers back into words. */
export function stateWords(states: readonly StateLook[]): ValueMap[] {
  const options = states.map(
    ({ state, color }, index): [string, { text: string; color: string }] => [
      String(index + 1),
      { text: state, color },
    ],
  );
  return [{ type: MappingType.ValueToText, options: Object.fromEntries(options) }];
}
