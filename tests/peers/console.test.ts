import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { afterTest } from '../support/after-test.ts';
import { startChromium } from '../support/chromium.ts';
import { buildConsole } from '../support/console-build.ts';
import { type ConsoleFixtureOptions, startConsoleFixture } from '../support/console-fixture.ts';
import { BRIDGE_LOST } from '../support/console-fixture-bridges.ts';
import { checkLiveValue, openConsole } from '../support/console-page.ts';

async function serveConsole(t: TestContext, options: Partial<ConsoleFixtureOptions> = {}) {
  const built = await buildConsole();
  afterTest(t, () => built.remove());
  const hub = await startConsoleFixture({ dir: built.dir, ...options });
  afterTest(t, () => hub.close());
  return hub;
}

test('a value that is published changes on the screen', async (t) => {
  const browser = await startChromium(t);
  if (!browser) return;
  const hub = await serveConsole(t);
  await checkLiveValue(browser, {
    baseUrl: hub.baseUrl,
    device: 'pump-2',
    metric: 'pressure',
    publish: (value) => hub.publish('pump-2', 'pressure', value),
  });
});

test('a sink that is down and one that drains are told apart at a glance', async (t) => {
  const browser = await startChromium(t);
  if (!browser) return;
  const hub = await serveConsole(t);
  const { page, ...opened } = await openConsole(browser, { baseUrl: hub.baseUrl });
  const cloud = page.locator('[data-sink="cloud"]');
  await cloud.getByText('backoff', { exact: true }).waitFor();
  const cloudText = (await cloud.textContent()) ?? '';
  assert.match(cloudText, /Down since [\w\s:]+, next try in \d+\ss, \d+\sk events safe on disk/);
  assert.match(cloudText, /connect ETIMEDOUT/);
  const grafana = page.locator('[data-sink="grafana"]');
  const grafanaText = (await grafana.textContent()) ?? '';
  assert.match(grafanaText, /ETA\s*\d+\smin/);
  assert.match(grafanaText, /Draining, caught up in \d+\smin/);
  const colors = await page.evaluate(
    `['cloud', 'grafana', 'archive'].map((id) =>
      getComputedStyle(document.querySelector('[data-sink="' + id + '"] .pill')).color)`,
  );
  assert.ok(Array.isArray(colors) && new Set(colors).size === 3, `three colours: ${colors}`);
  const marks = (sink: string) => page.locator(`[data-sink="${sink}"] .outage-mark`).count();
  assert.deepEqual([await marks('cloud'), await marks('archive')], [3, 0], 'outages of 24 h');
  await page.getByRole('button', { name: '7 d' }).click();
  await page.getByText(/^5 outages in 7\sd/).click();
  await cloud.getByText(/over a reboot/).waitFor();
  await page.getByText('Nothing lost').waitFor();
  opened.assertClean();
});

test('small charts show the past, and one opens with its axes from the keyboard', async (t) => {
  const browser = await startChromium(t);
  if (!browser) return;
  const hub = await serveConsole(t);
  const { page, ...opened } = await openConsole(browser, { baseUrl: hub.baseUrl, height: 1500 });
  const asked = page.waitForRequest((request) => request.url().includes('/api/v1/history?'));
  const row = page.locator('[data-device="weather"] [data-metric="wind"]');
  await row.scrollIntoViewIfNeeded();
  await row.locator('canvas').waitFor();
  const query = new URL((await asked).url()).searchParams;
  const spanMs = Date.parse(query.get('to') ?? '') - Date.parse(query.get('from') ?? '');
  assert.equal(spanMs, 30 * 60_000);
  const title = row.getByRole('button');
  await title.focus();
  await page.keyboard.press('Enter');
  await row.locator('.chart.full canvas').waitFor();
  assert.equal(await title.getAttribute('aria-expanded'), 'true');
  opened.assertClean();
});

test('a long message of a bridge is read whole, and its card stays small', async (t) => {
  const browser = await startChromium(t);
  if (!browser) return;
  const hub = await serveConsole(t);
  const wide = await openConsole(browser, { baseUrl: hub.baseUrl });
  const messages = wide.page.locator('.bridge-messages');
  await messages.getByText(BRIDGE_LOST.replaceAll('`', '')).waitFor();
  await messages.getByText('sudo usermod -aG dialout holdfast', { exact: true }).waitFor();
  const card = wide.page.locator('.inputs .node.bad');
  const box = await card.boundingBox();
  assert.ok(box && box.height < 90, `${box?.height} px`);
  assert.match((await wide.page.locator('.inputs .node.warn').textContent()) ?? '', /boiler/);
  wide.assertClean();
  await wide.close();
  const phone = await openConsole(browser, { baseUrl: hub.baseUrl, width: 390, height: 844 });
  await phone.page.locator('.inputs .node.bad').waitFor();
  assert.equal(await phone.page.locator('.bridge-messages').isVisible(), false);
  const clipped = await phone.page.evaluate(
    `(({ scrollHeight, clientHeight }) => scrollHeight > clientHeight)(
      document.querySelector('.inputs .node.bad .node-note'))`,
  );
  assert.equal(clipped, false, 'all of it is on the card');
  phone.assertClean();
});

for (const colorScheme of ['light', 'dark'] as const)
  test(`on a phone nothing scrolls sideways (${colorScheme})`, async (t) => {
    const browser = await startChromium(t);
    if (!browser) return;
    const hub = await serveConsole(t);
    const { page, ...opened } = await openConsole(browser, {
      baseUrl: hub.baseUrl,
      colorScheme,
      width: 390,
      height: 844,
    });
    await page.locator('[data-device="weather"]').waitFor();
    await opened.assertNoSidewaysScroll();
    const ground = await page.evaluate('getComputedStyle(document.body).backgroundColor');
    assert.equal(ground, colorScheme === 'light' ? 'rgb(241, 245, 243)' : 'rgb(10, 19, 18)');
    opened.assertClean();
  });

test('a page that lost its hub says so, and recovers by itself', async (t) => {
  const browser = await startChromium(t);
  if (!browser) return;
  const hub = await serveConsole(t);
  const { page } = await openConsole(browser, { baseUrl: hub.baseUrl });
  await page.getByText('Live', { exact: true }).waitFor();
  await hub.close();
  await page.getByText(/This page is \d+\ss old/).waitFor();
  await page.getByText(/Stale, \d+\ss/).waitFor();
  await serveConsole(t, { port: hub.port });
  await page.getByText('Live', { exact: true }).waitFor();
  assert.equal(await page.getByText(/This page is/).count(), 0);
});

test('a hub with a token is opened with it, once per tab', async (t) => {
  const browser = await startChromium(t);
  if (!browser) return;
  const hub = await serveConsole(t, { token: 'kelp' });
  const { page, ...opened } = await openConsole(browser, { baseUrl: hub.baseUrl });
  await page.getByLabel('Token').fill('sand');
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByText('The hub refused that token.').waitFor();
  await page.getByLabel('Token').fill('kelp');
  await page.keyboard.press('Enter');
  await page.getByText('Live', { exact: true }).waitFor();
  await page.reload();
  await page.getByText('Live', { exact: true }).waitFor();
  await opened.close();
});

test('a new hub explains how to publish, and shows the first reading', async (t) => {
  const browser = await startChromium(t);
  if (!browser) return;
  const hub = await serveConsole(t, { empty: true });
  const { page, ...opened } = await openConsole(browser, { baseUrl: hub.baseUrl });
  const command = `mosquitto_pub -q 1 -h 127.0.0.1 -t site/a/dev1/temp -m '{"v":21.5}'`;
  await page.getByText(command).waitFor();
  hub.publish('dev1', 'temp', 21.5);
  await page.locator('[data-device="dev1"]').getByText('21.5', { exact: true }).waitFor();
  assert.equal(await page.getByText(command).count(), 0);
  opened.assertClean();
});

test('many metrics are drawn in steps and can be filtered', async (t) => {
  const browser = await startChromium(t);
  if (!browser) return;
  const hub = await serveConsole(t, { extraMetrics: 400 });
  const { page, ...opened } = await openConsole(browser, { baseUrl: hub.baseUrl });
  const rows = page.locator('.metric');
  await rows.first().waitFor();
  assert.equal(await rows.count(), 60);
  await page.getByRole('button', { name: /^Show 60 more/ }).click();
  assert.equal(await rows.count(), 120);
  await page.getByRole('searchbox').fill('meter-77 volt');
  await page.locator('[data-device="meter-77"]').waitFor();
  assert.equal(await rows.count(), 1);
  opened.assertClean();
});
