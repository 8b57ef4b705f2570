import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import { z } from 'zod';
import { seededRandom } from '../../firmware-bridge/simulator/seeded-random.ts';
import { SimulatedSite } from '../../firmware-bridge/simulator/simulated-site.ts';
import { SimulatorBridge } from '../../firmware-bridge/simulator/simulator.ts';
import { PROFILES, simulatorSpec } from '../../firmware-bridge/simulator/spec.ts';
import type { Clock } from '../../hub/core/clock.ts';
import { bridgeContract } from '../contract/bridge.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const START_MS = Date.UTC(2026, 5, 1);

const options = (given: object = {}) => simulatorSpec.options.parse(given);

bridgeContract('simulator', {
  start: async () => ({ bridge: new SimulatorBridge({ ...options(), interval_ms: 20 }) }),
  periodMs: 20,
  hasHardware: false,
  unacceptedMax: 4 * 4, // a round: three readings and an alarm of each of the four devices
});

const payload = z.strictObject({
  t: z.int(),
  v: z.union([z.number(), z.string(), z.boolean()]),
  u: z.string().optional(),
  message: z.string().optional(),
});

interface Sent {
  readonly topic: string;
  readonly device: string;
  readonly metric: string;
  readonly data: z.output<typeof payload>;
}

function runOf(given: object, seed: number, rounds: number, stepMs: number): Sent[] {
  const site = new SimulatedSite(options(given), seededRandom(seed));
  return Array.from({ length: rounds }, (_, i) => site.round(START_MS + i * stepMs))
    .flat()
    .map(({ topic, payload: bytes }) => {
      const [, , device = '', metric = ''] = topic.split('/');
      return { topic, device, metric, data: payload.parse(JSON.parse(bytes.toString())) };
    });
}

const dayOf = (given: object, seed: number) => runOf(given, seed, DAY_MS / MINUTE_MS, MINUTE_MS);

const numbersOf = (sent: readonly Sent[], device: string, metric: string): number[] =>
  sent
    .filter((one) => one.device === device && one.metric === metric)
    .map(({ data }) => z.number().parse(data.v));

/** What such a sensor could show on a site in a temperate summer, faults included. */
const PLAUSIBLE: Readonly<Record<string, readonly [number, number]>> = {
  temperature: [0, 45],
  humidity: [20, 99],
  soil_moisture: [20, 45],
  light: [0, 75_000],
  pressure: [960, 1040],
  power: [0, 1000],
  vibration: [0, 12],
};

test('every value of a whole day is plausible, for any seed', () => {
  const seeds = fc.integer({ min: 0, max: 0xffff_ffff });
  fc.assert(
    fc.property(seeds, (seed) => {
      for (const { metric, data } of dayOf({ alarm_interval: '1 h' }, seed)) {
        if (metric === 'alarm') assert.equal(typeof data.v, 'boolean');
        else if (metric === 'state') assert.match(String(data.v), /^(running|idle)$/);
        else {
          const [min, max] = PLAUSIBLE[metric] ?? assert.fail(`unknown metric ${metric}`);
          assert.ok(
            typeof data.v === 'number' && data.v >= min && data.v <= max,
            `${metric} ${data.v}`,
          );
          assert.ok(data.u, `${metric} has a unit`);
        }
      }
    }),
    { numRuns: 20 },
  );
});

test('the same seed gives the same run, another seed another one', () => {
  assert.deepEqual(dayOf({}, 7), dayOf({}, 7));
  assert.notDeepEqual(dayOf({}, 7), dayOf({}, 8));
});

test('`seed` in the options makes whole runs of the bridge repeat, whatever random() gives', async () => {
  const values = async (random: () => number) => {
    const stop = new AbortController();
    const sent: string[] = [];
    const clock: Clock = {
      wallMs: () => START_MS,
      monotonicMs: () => 0,
      synced: () => true,
      sync: () => ({ state: 'synced' }),
      bootId: 'b',
    };
    const bridge = new SimulatorBridge({
      ...options({ seed: 5, drop_share: 0.3 }),
      interval_ms: 1,
    });
    const logger = pino({ level: 'silent' });
    const accept = async (message: { topic: string; payload: Buffer }) => {
      sent.push(`${message.topic} ${message.payload}`);
      if (sent.length >= 100) stop.abort();
    };
    const context = {
      ...{ id: 'x', accept, connected() {}, describe() {}, badFrames() {}, clock, random, logger },
      loadState: async () => new Map(),
    };
    await bridge.run(context, stop.signal);
    return sent.slice(0, 100);
  };
  assert.deepEqual(await values(() => 0.1), await values(() => 0.9));
});

test('topics are <prefix>/<area>/<device>/<metric> and times are those of the clock', () => {
  const given = {
    topic_prefix: 'plant/b',
    devices: [{ name: 'd', area: 'a', profile: 'machine' }],
  };
  const site = new SimulatedSite(options({ ...given, drop_share: 0 }), seededRandom(1));
  const round = site.round(START_MS);
  const metrics = ['power', 'vibration', 'state'];
  assert.deepEqual(
    round.map((m) => m.topic),
    metrics.map((m) => `plant/b/a/d/${m}`),
  );
  for (const { payload: bytes } of round) assert.equal(JSON.parse(bytes.toString()).t, START_MS);
});

test('afternoons are warmer than nights, nights are dark, warm air is drier', () => {
  const day = dayOf({ drop_share: 0, alarm_interval: '30 d' }, 3);
  const hourOf = ({ data }: Sent) => new Date(data.t).getHours();
  const mean = (device: string, metric: string, hours: readonly number[]) => {
    const values = numbersOf(
      day.filter((one) => hours.includes(hourOf(one))),
      device,
      metric,
    );
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  };
  const [night, afternoon] = [
    [1, 2, 3],
    [13, 14, 15],
  ];
  assert.ok(
    mean('greenhouse-1', 'temperature', afternoon) > mean('greenhouse-1', 'temperature', night) + 5,
  );
  assert.ok(
    mean('greenhouse-1', 'humidity', afternoon) < mean('greenhouse-1', 'humidity', night) - 10,
  );
  assert.equal(mean('outdoor', 'light', night), 0);
  assert.ok(mean('outdoor', 'light', afternoon) > 10_000);
});

test('soil dries slowly and is watered quickly', () => {
  const moisture = numbersOf(dayOf({ drop_share: 0 }, 3), 'greenhouse-2', 'soil_moisture');
  const rises = moisture.filter((value, i) => value > (moisture[i - 1] ?? value) + 0.5);
  assert.ok(Math.max(...moisture) > 38 && Math.min(...moisture) < 28);
  assert.ok(rises.length > 10 && rises.length < moisture.length / 10, `${rises.length} rises`);
});

test('the asked-for share of readings is missing, and no alarm is', () => {
  const all = dayOf({ drop_share: 0, alarm_interval: '1 h' }, 9).filter(
    (s) => s.metric !== 'alarm',
  );
  const some = dayOf({ drop_share: 0.2, alarm_interval: '1 h' }, 9).filter(
    (s) => s.metric !== 'alarm',
  );
  const missing = 1 - some.length / all.length;
  assert.ok(missing > 0.18 && missing < 0.22, `${missing}`);
  const none = dayOf({ drop_share: 1, alarm_interval: '1 h' }, 9);
  assert.deepEqual([...new Set(none.map((s) => s.metric))], ['alarm']);
});

test('alarms begin with their reason, end, and come about as often as asked', () => {
  const step = { interval_ms: 60_000, drop_share: 0, alarm_interval: '1 h' };
  const alarms = dayOf(step, 11).filter((s) => s.metric === 'alarm');
  for (const device of ['greenhouse-1', 'greenhouse-2', 'outdoor', 'pump-1']) {
    const own = alarms.filter((s) => s.device === device);
    assert.ok(
      own.length > 16 && own.length < 80,
      `${own.length} alarm messages of ${device} a day`,
    );
    for (const [i, { data }] of own.entries()) assert.equal(data.v, i % 2 === 0);
  }
  assert.match(alarms.find((s) => s.device === 'pump-1')?.data.message ?? '', /mm\/s$/);
});

test('without chance for an alarm there is none, and a fault shows in the readings', () => {
  const calm = dayOf({ interval_ms: 100, alarm_interval: '30 d' }, 2);
  assert.equal(calm.filter((s) => s.metric === 'alarm').length, 0);
  const faulty = dayOf({ interval_ms: 60_000, drop_share: 0, alarm_interval: '1 h' }, 2);
  const onset = faulty.find((s) => s.metric === 'alarm' && s.device === 'pump-1');
  const at = faulty.find((s) => s.metric === 'vibration' && s.data.t === onset?.data.t);
  assert.ok(typeof at?.data.v === 'number' && at.data.v > 7);
});

test('every profile has a model with at least three sensors', () => {
  for (const profile of PROFILES) {
    const site = new SimulatedSite(
      options({ drop_share: 0, devices: [{ name: 'd', area: 'a', profile }] }),
      seededRandom(1),
    );
    assert.ok(site.round(START_MS).length >= 3, profile);
  }
});

test('two devices of one name are refused', () => {
  const twice = [
    { name: 'd', area: 'a', profile: 'machine' },
    { name: 'd', area: 'b', profile: 'outdoor' },
  ];
  const result = simulatorSpec.options.safeParse({ devices: twice });
  assert.deepEqual(
    result.error?.issues.map((issue) => issue.path),
    [['devices', 1, 'name']],
  );
});
