// The console on a real hub: what is published over MQTT is seen in the browser, and a sink that is
// down is seen to be down. Keeps the picture for the README with HOLDFAST_KEEP_SCREENSHOT=1.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import mqtt, { type MqttClient } from 'mqtt';
import { packageRoot } from '../../config/find-file.ts';
import { parseConfig } from '../../config/load.ts';
import { startHub } from '../../hub/hub.ts';
import { createLogger } from '../../hub/observe/logger.ts';
import { afterTest } from '../support/after-test.ts';
import { startChromium } from '../support/chromium.ts';
import { checkLiveValue, openConsole } from '../support/console-page.ts';
import { freePort } from '../support/free-port.ts';

/** A README should open at once. */
const SCREENSHOT_BYTES_MAX = 300_000;
const PAST_MS = 30 * 60_000;
const STEP_MS = 15_000;

/** Devices of a site, and how each metric moves around its mean. */
const SITE = [
  ['greenhouse/bench-1', { temperature: [24, 3, '°C'], humidity: [62, 9, '%'] }],
  ['greenhouse/bench-2', { temperature: [22, 2, '°C'], soil_moisture: [38, 6, '%'] }],
  ['roof/weather', { temperature: [12, 4, '°C'], pressure: [1013, 2, 'hPa'], wind: [5, 3, 'm/s'] }],
  ['cellar/pump', { power: [310, 40, 'W'], flow: [12, 3, 'l/min'] }],
] as const;

async function startSite(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'));
  afterTest(t, () => rm(folder, { recursive: true, force: true }));
  const text = `
    hub: { id: greenhouse-1, data_dir: . }
    mqtt: { anonymous: true, listeners: [{ type: tcp, host: 127.0.0.1, port: 0 }] }
    http: { port: 0 }
    log: { lanes: { alarm: ["+/+/+/alarm"] } }
    decode: [{ topic: "site/{area}/{device}/{metric}", format: json }]
    sinks:
      - { id: archive, type: file, path: export }
      - { id: cloud, type: http, url: "http://127.0.0.1:${await freePort()}/ingest" }`;
  const config = parseConfig(text, { file: 'site.yaml', baseDir: folder }, {});
  const hub = await startHub({
    config,
    version: '0.1.0',
    logger: await createLogger({ level: 'silent' }),
  });
  afterTest(t, () => hub.stop());
  const client = await mqtt.connectAsync(`mqtt://${hub.mqtt[0]}`);
  afterTest(t, () => client.endAsync(true));
  return { hub, client };
}

/** Half an hour of readings, as a device publishes them that was out of reach. */
async function publishPast(client: MqttClient): Promise<void> {
  const now = Date.now();
  const publishing: Promise<unknown>[] = [];
  for (let timeMs = now - PAST_MS; timeMs <= now; timeMs += STEP_MS) {
    for (const [place, metrics] of SITE) {
      for (const [metric, [mean, swing, unit]] of Object.entries(metrics)) {
        const phase = timeMs / 400_000 + place.length + metric.length;
        const v = Number(
          (mean + swing * Math.sin(phase) + swing * 0.1 * Math.sin(phase * 9)).toFixed(2),
        );
        const payload = JSON.stringify({ t: timeMs, v, u: unit });
        publishing.push(client.publishAsync(`site/${place}/${metric}`, payload, { qos: 1 }));
      }
    }
  }
  await Promise.all(publishing);
}

test('a publish reaches the screen, and a dead sink is plain to see', async (t) => {
  const browser = await startChromium(t);
  if (!browser) return;
  const { hub, client } = await startSite(t);
  await publishPast(client);
  await checkLiveValue(browser, {
    baseUrl: hub.url,
    device: 'weather',
    metric: 'temperature',
    publish: async (v) => {
      const payload = JSON.stringify({ v, u: '°C' });
      await client.publishAsync('site/roof/weather/temperature', payload, { qos: 1 });
    },
  });

  const { page, ...opened } = await openConsole(browser, { baseUrl: hub.url });
  const cloud = page.locator('[data-sink="cloud"]');
  await cloud.getByText('backoff', { exact: true }).waitFor();
  assert.match((await cloud.textContent()) ?? '', /ECONNREFUSED/);
  await page.locator('[data-sink="archive"]').getByText('Up to date').waitFor();
  await page.getByText('Nothing lost').waitFor();
  const weather = page.locator('[data-device="weather"]');
  await weather.scrollIntoViewIfNeeded(); // charts are drawn when they are seen
  await weather.locator('canvas').first().waitFor();
  opened.assertClean();
  const alarm = JSON.stringify({ v: true, message: 'no flow' });
  await client.publishAsync('site/cellar/pump/alarm', alarm, { qos: 1 });
  await page.locator('[data-device="pump"]').getByText('Alarm', { exact: true }).first().waitFor();
  await page.setViewportSize({ width: 1440, height: 1240 });
  await page.evaluate('scrollTo(0, 0)');
  const picture = await page.screenshot();
  assert.ok(picture.length < SCREENSHOT_BYTES_MAX, `${picture.length} bytes`);
  await opened.close();
  if (process.env['HOLDFAST_KEEP_SCREENSHOT'] !== '1') return;
  await writeFile(join(packageRoot(), 'docs', 'images', 'console.png'), picture);
});

test('a sink is paused, told to skip, and resumed from its card', async (t) => {
  const browser = await startChromium(t);
  if (!browser) return;
  const { hub, client } = await startSite(t);
  await client.publishAsync('site/roof/weather/wind', '{"v":5}', { qos: 1 });
  const { page, ...opened } = await openConsole(browser, { baseUrl: hub.url });
  const cloud = page.locator('[data-sink="cloud"]');
  await cloud.getByRole('button', { name: 'Pause' }).click();
  await cloud.getByText('paused', { exact: true }).waitFor();
  await cloud.getByText(/paused by 127\.0\.0\.1 \(console\)/).waitFor();
  await cloud.getByRole('button', { name: 'Skip…' }).click();
  await cloud.getByRole('button', { name: 'Keep' }).click();
  await cloud.getByRole('button', { name: 'Skip…' }).click();
  const folder = process.env['HOLDFAST_SCREENSHOTS'];
  if (folder) await page.screenshot({ path: join(folder, 'skip.png'), fullPage: true });
  await cloud.getByRole('button', { name: /^Skip all/ }).click();
  await cloud.getByText('Lost').waitFor();
  await cloud.getByRole('button', { name: 'Resume' }).click();
  await cloud.getByText('paused', { exact: true }).waitFor({ state: 'detached' });
  await opened.assertNoSidewaysScroll();
  opened.assertClean();
  await opened.close();
});
