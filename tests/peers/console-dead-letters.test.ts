// The list of dead letters on a real hub, in a real browser: seen, sent again, given up.
// Keeps a picture with HOLDFAST_KEEP_SCREENSHOT=1.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import mqtt from 'mqtt';
import { packageRoot } from '../../config/find-file.ts';
import { parseConfig } from '../../config/load.ts';
import { startHub } from '../../hub/hub.ts';
import { createLogger } from '../../hub/observe/logger.ts';
import { afterTest } from '../support/after-test.ts';
import { startChromium } from '../support/chromium.ts';
import { openConsole } from '../support/console-page.ts';
import { httpFarSide } from '../support/http-far-side.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const EVENTS = 40;

/** A hub whose far side has refused the first `refused` of EVENTS. */
async function startSite(t: TestContext, refused: number) {
  const far = await httpFarSide(t);
  far.poison = new Set(Array.from({ length: refused }, (_, n) => n));
  const text = `
    hub: { id: greenhouse-1, data_dir: . }
    mqtt: { anonymous: true, listeners: [{ type: tcp, host: 127.0.0.1, port: 0 }] }
    http: { port: 0 }
    sinks: [{ id: cloud, type: http, url: "${far.url}", retry: { delay_min: 50 ms } }]`;
  const config = parseConfig(text, { file: 'site.yaml', baseDir: await temporaryFolder(t) }, {});
  const logger = await createLogger({ level: 'silent' });
  const hub = await startHub({ config, version: '0.1.0', logger });
  afterTest(t, () => hub.stop());
  const client = await mqtt.connectAsync(`mqtt://${hub.mqtt[0]}`);
  afterTest(t, () => client.endAsync(true));
  for (let n = 0; n < EVENTS; n++) {
    const payload = JSON.stringify({ n, note: 'bench 4, behind the door' });
    await client.publishAsync('site/greenhouse/bench-4/soil', payload, { qos: 1 });
  }
  await until('the far side has the rest', () => far.unique === EVENTS - refused);
  return { hub, far };
}

async function keep(name: string, picture: Buffer): Promise<void> {
  if (process.env['HOLDFAST_KEEP_SCREENSHOT'] !== '1') return;
  await writeFile(join(packageRoot(), 'dist', `${name}.png`), picture);
}

for (const [colorScheme, width] of [
  ['light', 1440],
  ['dark', 390],
] as const)
  test(`dead letters are seen, sent again and given up (${colorScheme}, ${width} px)`, async (t) => {
    const browser = await startChromium(t);
    if (!browser) return;
    const { hub, far } = await startSite(t, 30);
    const options = { baseUrl: hub.url, colorScheme, width, height: 900 };
    const { page, ...opened } = await openConsole(browser, options);
    const cloud = page.locator('[data-sink="cloud"]');
    await cloud.getByRole('button', { name: 'Look at 30 dead letters' }).click();
    const dialog = page.getByRole('dialog', { name: 'Dead letters of cloud' });
    const letters = dialog.locator('[data-letter]');
    await letters.first().waitFor();
    assert.equal(await letters.count(), 20);
    const first = (await letters.first().textContent()) ?? '';
    assert.match(first, /^site\/greenhouse\/bench-4\/soil\d\d:\d\d · 1 attempt/);
    assert.match(first, /answered 400: bad value.*bench 4, behind the door/);
    await dialog.getByRole('button', { name: /^Show more of 30/ }).click();
    await until('all are there', async () => (await letters.count()) === 30);
    await keep(`dead-letters-${colorScheme}`, await page.screenshot());
    await opened.assertNoSidewaysScroll();

    const one = dialog.locator('[data-letter="29"]');
    await one.getByRole('button', { name: 'Discard' }).click();
    await one.getByRole('button', { name: 'Keep' }).click();
    await one.getByRole('button', { name: 'Discard' }).click();
    await keep(`dead-letters-sure-${colorScheme}`, await page.screenshot());
    await one.locator('.bad').click();
    await dialog.getByText(/1 dead letter discarded; the ledger counts/).waitFor();
    await one.waitFor({ state: 'detached' });

    await dialog.locator('[data-letter="28"]').getByRole('button', { name: 'Send again' }).click();
    await dialog.locator('[data-letter="28"]').getByText('2 attempts').waitFor();
    far.poison = new Set();
    await dialog.getByRole('button', { name: 'Send all again' }).click();
    await dialog.getByText('There are none any more.').waitFor();
    assert.deepEqual([far.unique, far.duplicates], [EVENTS - 1, 0]);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await cloud.getByRole('button', { name: /dead letter/ }).waitFor({ state: 'detached' });
    opened.assertClean();
    await opened.close();
  });
