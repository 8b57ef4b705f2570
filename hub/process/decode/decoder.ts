import type { Decode, Decoded, HubEvent, Reading, TimeQuality } from '../../core/event.ts';
import { aggregateJson, openAggregate, readingsOf } from '../aggregate-payload.ts';
import { compileRule } from './compiled-rule.ts';
import { readCsv } from './csv-payload.ts';
import { Harvest } from './harvest.ts';
import { readJson } from './json-payload.ts';
import { parseDecimal } from './number-text.ts';
import { isJson, parseJson, payloadText } from './payload-text.ts';
import type { DecodeRule } from './rule.ts';
import { type TopicTarget, topicTargets } from './topic-targets.ts';

/**
 * Decodes an event, and says of a topic alone what its events can hold. Never throws: a payload
 * that
 * is not what its rule says has `error`, a phrase that follows "the payload": "is empty". With an
 * error there may still be readings: the first 64 of a hundred, the lines beside a torn one.
 */
export interface Decoder extends Decode {
  /** Whether an event of `topic` can hold readings of `device` and `metric`. */
  mayYield(topic: string, device: string, metric: string): boolean;
  /** The device that `topic` names; empty when no template matches. */
  deviceOf(topic: string): string;
  /** The template that matches `topic`, as the configuration has it. */
  templateOf(topic: string): string | undefined;
}

const NO_READINGS: readonly Reading[] = Object.freeze([]);

function decoded(
  device: string,
  timeMs: number,
  timeQuality: TimeQuality,
  json: string | undefined,
  readings: readonly Reading[],
  error: string | undefined,
): Decoded {
  if (error !== undefined)
    return json === undefined
      ? { device, timeMs, timeQuality, readings, error }
      : { device, timeMs, timeQuality, json, readings, error };
  return json === undefined
    ? { device, timeMs, timeQuality, readings }
    : { device, timeMs, timeQuality, json, readings };
}

/** Its time is that of the first event that it stands for. Undefined when it is none. */
function decodeAggregate(event: HubEvent, device: string): Decoded | undefined {
  const facts = openAggregate(event);
  if (!facts) return undefined;
  const timeQuality = facts.ownTime ? 'device' : event.timeQuality;
  const readings = readingsOf(facts, timeQuality);
  return decoded(device, facts.fromMs, timeQuality, aggregateJson(facts), readings, undefined);
}

/** Fills `harvest` from the payload; answers the text when it is JSON. */
function readPayload(harvest: Harvest, text: string): string | undefined {
  if (text === '') {
    harvest.error = 'is empty';
    return undefined;
  }
  switch (harvest.rule.format) {
    case 'json': {
      const parsed = parseJson(text);
      if (!parsed.ok) {
        harvest.error = `is not valid JSON: ${parsed.why}`;
        return undefined;
      }
      readJson(harvest, parsed.value);
      return text;
    }
    case 'number': {
      const value = parseDecimal(text.trim());
      if (value === undefined) harvest.error = 'is no decimal number';
      else harvest.add(harvest.onlyMetric, value);
      break;
    }
    case 'csv':
      readCsv(harvest, text);
      break;
  }
  return isJson(text) ? text : undefined;
}

function mayYield(target: TopicTarget, device: string, metric: string): boolean {
  if (target.rule === undefined || target.device !== device) return false;
  if (target.metric === undefined || target.rule.namesMetrics) return true;
  return metric === target.metric || metric.startsWith(`${target.metric}_`);
}

/** @throws HubError CONFIG_INVALID when a rule is none. */
export function createDecoder(rules: readonly DecodeRule[]): Decoder {
  const targetOf = topicTargets(rules.map(compileRule));

  function decode(event: HubEvent): Decoded {
    const { receivedMs, timeQuality: arrivalQuality } = event;
    const target = targetOf(event.topic);
    if (event.kind === 'aggregate') {
      const aggregate = decodeAggregate(event, target.device);
      if (aggregate) return aggregate;
    }
    const text = payloadText(event.payload);
    if (target.rule === undefined || event.kind !== 'message') {
      const json = text !== undefined && isJson(text) ? text : undefined;
      return decoded(target.device, receivedMs, arrivalQuality, json, NO_READINGS, undefined);
    }
    const harvest = new Harvest(target.rule, target, receivedMs, arrivalQuality);
    let json: string | undefined;
    if (text === undefined) harvest.error = 'is not valid UTF-8';
    else json = readPayload(harvest, text);
    const { timeMs, timeQuality, readings, error } = harvest;
    return decoded(target.device, timeMs, timeQuality, json, readings, error);
  }

  return Object.assign(decode, {
    mayYield: (topic: string, device: string, metric: string) =>
      mayYield(targetOf(topic), device, metric),
    deviceOf: (topic: string) => targetOf(topic).device,
    templateOf: (topic: string) => targetOf(topic).rule?.template.text,
  });
}
