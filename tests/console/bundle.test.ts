import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { afterTest } from '../support/after-test.ts';
import { buildConsole } from '../support/console-build.ts';

/** A page over a cellular link: 60 kB are there in two seconds at 256 kbit/s. */
const COMPRESSED_BYTES_MAX = 60_000;

test('the page is small, compressed in advance and asks nobody else for anything', async (t) => {
  const built = await buildConsole();
  afterTest(t, () => built.remove());
  const sizes = await built.compressedSizes();
  const total = [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
  t.diagnostic(`${total} bytes: ${JSON.stringify(Object.fromEntries(sizes))}`);
  assert.ok(sizes.has('index.html.gz'));
  assert.ok(sizes.size >= 4, 'page, script, style, icon');
  assert.ok(total < COMPRESSED_BYTES_MAX, `${total} bytes`);

  for (const name of sizes.keys()) {
    const text = await readFile(join(built.dir, name.replace(/\.gz$/, '')), 'utf8');
    // XML namespaces are names, not addresses.
    const addresses = [...text.matchAll(/https?:\/\/[^\s"'`)]+/g)].map(([address]) => address);
    assert.deepEqual(
      addresses.filter((address) => !address.startsWith('http://www.w3.org/')),
      [],
      name,
    );
  }
  const page = await readFile(join(built.dir, 'index.html'), 'utf8');
  assert.match(page, /<script type="module" crossorigin src="\.\/assets\/[\w-]+\.js">/);
  assert.doesNotMatch(
    page,
    /<style|<script>| style=| on\w+=/,
    'nothing inline: the CSP forbids it',
  );
});
