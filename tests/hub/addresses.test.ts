import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { addressesOf } from '../../hub/machine/addresses.ts';
import { tryConnectAny } from '../../hub/machine/try-connect.ts';
import { afterTest } from '../support/after-test.ts';

const { signal } = new AbortController();
const of = (name: string, timeoutMs = 20_000) => addressesOf(name, timeoutMs, signal);

test('addresses are those that the machine gives a name', async () => {
  assert.deepEqual(await of('192.0.2.7'), ['192.0.2.7']);
  assert.ok((await of('localhost'))?.some((address) => ['127.0.0.1', '::1'].includes(address)));
  assert.deepEqual(await of('-no-name-'), []);
});

test('a name server that is away holds nothing up', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-addresses-'));
  const path = process.env['PATH'];
  afterTest(t, async () => {
    process.env['PATH'] = path;
    await rm(folder, { recursive: true });
  });
  const getent = join(folder, 'getent');
  await writeFile(getent, '#!/bin/sh\nexec /bin/sleep 60\n');
  await chmod(getent, 0o755);
  process.env['PATH'] = folder;
  assert.equal(await of('example.org', 200), undefined);
  assert.deepEqual(
    process.getActiveResourcesInfo().filter((name) => /AddrInfo/.test(name)),
    [],
  );
  await rm(getent);
  const found = await of('localhost');
  assert.ok(found && found.length > 0, 'there is another way where there is no getent');
});

test('one address that answers is enough', async () => {
  const server = createServer().listen(0, '127.0.0.2');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const ask = () => tryConnectAny(['127.0.0.1', '127.0.0.2'], address.port, 5_000, signal);
  assert.equal(await ask(), undefined);
  server.close();
  await once(server, 'close');
  assert.match((await ask()) ?? '', /ECONNREFUSED/);
});
