import { existsSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { type Browser, chromium } from 'playwright-core';
import { afterTest } from './after-test.ts';

const EXECUTABLE = '/usr/bin/chromium';

/** Headless, offline in its own affairs: no updates, no sync, no background requests. */
const ARGUMENTS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A browser that is closed after the test; undefined when the test was skipped for want of one. */
export async function startChromium(t: TestContext): Promise<Browser | undefined> {
  if (!existsSync(EXECUTABLE)) {
    const reason = 'needs chromium: apt-get install chromium';
    if (process.env['HOLDFAST_REQUIRE_PEERS'] === '1') throw new Error(reason);
    t.skip(reason);
    return undefined;
  }
  const browser = await chromium.launch({ executablePath: EXECUTABLE, args: ARGUMENTS });
  afterTest(t, () => browser.close());
  return browser;
}
