import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { generatedFiles } from '../../grafana-dashboards/generate.ts';
import { DASHBOARD_UID, holdfastHub } from '../../grafana-dashboards/holdfast-hub.ts';
import {
  BRIDGE_LOOKS,
  BRIDGE_STATES,
  DEGRADED_MORE,
  SINK_DOWN_STATES,
  SINK_STATES,
} from '../../grafana-dashboards/states.ts';
import { BRIDGE_STATES as HUB_BRIDGE_STATES } from '../../hub/core/bridge.ts';
import { LINK_STATES } from '../../hub/core/link.ts';
import { METRICS } from '../../hub/observe/metrics-table.ts';
import { DASHBOARD, panelTitled } from '../support/dashboard-model.ts';

const ROOT = join(import.meta.dirname, '../../..');
const dashboard = DASHBOARD.parse(JSON.parse(JSON.stringify(holdfastHub())));

/** Grafana's way to say "the last override that matches wins". */
function unitOf(series: string): unknown {
  const { defaults, overrides } = panelTitled(dashboard, '$metric').fieldConfig ?? {};
  const matching = (overrides ?? []).filter(({ matcher }) => {
    const [, pattern, flags] = /^\/(.*)\/(\w*)$/.exec(String(matcher.options)) ?? [];
    return new RegExp(pattern ?? '', flags).test(series);
  });
  const properties = matching.at(-1)?.properties ?? [];
  return properties.find(({ id }) => id === 'unit')?.value ?? defaults?.unit;
}

describe('the Holdfast hub dashboard', () => {
  it('is generated: the file in the repository is what the builders make', async () => {
    for (const [path, content] of generatedFiles())
      assert.equal(await readFile(join(ROOT, path), 'utf8'), content, `${path}: npm run generate`);
  });

  it('has the address that links rely on', () => {
    assert.equal(dashboard.uid, DASHBOARD_UID);
    assert.equal(dashboard.uid, 'holdfast-hub');
    assert.deepEqual(dashboard.tags, ['holdfast', 'iot-hub']);
  });

  it('knows every state of a sink and of a bridge', () => {
    assert.deepEqual(
      SINK_STATES.map(({ state }) => state),
      [...LINK_STATES],
    );
    assert.deepEqual(
      BRIDGE_STATES.map(({ state }) => state),
      [...HUB_BRIDGE_STATES],
    );
    const reading = BRIDGE_LOOKS.findIndex(({ state }) => state === 'reading');
    assert.equal(BRIDGE_LOOKS[reading + DEGRADED_MORE]?.state, 'degraded');
    for (const state of SINK_DOWN_STATES) assert.ok(LINK_STATES.includes(state));
  });

  it('shows every metric of the hub', () => {
    const text = JSON.stringify(dashboard);
    const missing = METRICS.map(({ name }) => name).filter((name) => !text.includes(name));
    assert.deepEqual(missing, []);
  });

  it('leaves gaps of more than five minutes open', () => {
    const { defaults } = panelTitled(dashboard, '$metric').fieldConfig ?? {};
    assert.deepEqual(Reflect.get(Object(defaults?.['custom']), 'spanNulls'), 300_000);
  });

  const UNITS = {
    'greenhouse-1 temperature': 'celsius',
    'temp-sensor humidity': 'humidity',
    'battery-box temperature': 'celsius',
    'door battery_voltage': 'volt',
    'door battery': 'percent',
    'outdoor pressure': 'pressurehpa',
    'outdoor light': 'lux',
    'pump-1 power': 'watt',
    'greenhouse-1 soil_moisture': 'humidity',
    'pump-1 vibration': 'short',
  };
  for (const [series, unit] of Object.entries(UNITS))
    it(`gives "${series}" the unit ${unit}`, () => assert.equal(unitOf(series), unit));
});
