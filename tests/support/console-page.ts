import assert from 'node:assert/strict';
import type { Browser, Page } from 'playwright-core';

/** Everything on the page must be there this soon, on a busy machine too. */
export const WAIT_MS_MAX = 15_000;

export interface OpenOptions {
  readonly baseUrl: string;
  readonly colorScheme?: 'light' | 'dark';
  readonly width?: number;
  readonly height?: number;
}

/** The console in a browser, with what must not happen on it. */
export interface ConsolePage {
  readonly page: Page;
  /** Fails when the page logged an error or asked another origin for something. */
  assertClean(): void;
  /** Fails when the page is wider than the window. */
  assertNoSidewaysScroll(): Promise<void>;
  close(): Promise<void>;
}

/** Opens the console and waits until it is live. */
export async function openConsole(browser: Browser, options: OpenOptions): Promise<ConsolePage> {
  const context = await browser.newContext({
    viewport: { width: options.width ?? 1440, height: options.height ?? 900 },
    colorScheme: options.colorScheme ?? 'light',
    reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS_MAX);
  const { origin } = new URL(options.baseUrl);
  const errors: string[] = [];
  const foreign: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith('data:') && new URL(url).origin !== origin) foreign.push(url);
  });
  await page.goto(options.baseUrl);
  return {
    page,
    assertClean() {
      assert.deepEqual(errors, [], 'errors in the console of the browser');
      assert.deepEqual(foreign, [], 'requests to others than the hub');
    },
    async assertNoSidewaysScroll() {
      const sizes = await page.evaluate('[document.documentElement.scrollWidth, innerWidth]');
      assert.ok(Array.isArray(sizes) && sizes[0] <= sizes[1], `${sizes} px wide`);
    },
    close: () => context.close(),
  };
}

export interface PublishOptions {
  readonly device: string;
  readonly metric: string;
  /** Publishes a number so that it reaches the hub. */
  publish(value: number): void | Promise<void>;
}

/** Opens the console of any hub and shows that a value that is published changes on the screen. */
export async function checkLiveValue(
  browser: Browser,
  options: OpenOptions & PublishOptions,
): Promise<void> {
  const opened = await openConsole(browser, options);
  const { page } = opened;
  await page.getByText('Live', { exact: true }).waitFor();
  const value = page.locator(
    `[data-device="${options.device}"] [data-metric="${options.metric}"] .number`,
  );
  for (const [sent, shown] of [
    [77.7, /^77\.70?$/],
    [78.3, /^78\.30?$/],
  ] as const) {
    await options.publish(sent);
    await value.filter({ hasText: shown }).waitFor();
  }
  await opened.assertNoSidewaysScroll();
  opened.assertClean();
  await opened.close();
}
