import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, createServer as createProxy, type Server } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { httpAgent, httpRequest } from '../../hub/core/http-request.ts';
import { headerBytes, WireMeter } from '../../hub/core/wire-meter.ts';
import { afterTest } from '../support/after-test.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

async function listening(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(t, () => server.close());
  const { port } = server.address() as AddressInfo;
  return port;
}

/** A proxy that counts what goes through it, in both directions. */
async function countingProxy(t: TestContext, port: number) {
  const count = { bytes: 0, port: 0 };
  const proxy = createProxy((near) => {
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (data) => {
        count.bytes += data.length;
        to.write(data);
      });
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
  });
  count.port = await listening(t, proxy);
  return count;
}

const answer: RequestListener = (request, response) => {
  request.resume().on('end', () => response.end('x'.repeat(1_000)));
};

const signal = AbortSignal.timeout(20_000);

test('what goes through the sockets is counted, open ones and closed ones', async (t) => {
  const server = createServer(answer);
  const count = await countingProxy(t, await listening(t, server));
  const meter = new WireMeter();
  const url = new URL(`http://127.0.0.1:${count.port}/write?db=x`);
  const headers = { 'content-type': 'text/plain' };
  const body = Buffer.alloc(50_000);
  const ask = async (agent: Awaited<ReturnType<typeof httpAgent>>) =>
    await httpRequest({ url, method: 'POST', headers, body, timeoutMs: 5_000, agent, signal });
  const agent = await httpAgent(url, {}, '/', meter);
  await ask(agent);
  const first = meter.bytes;
  assert.equal(first, count.bytes);
  const estimate = headerBytes(url, headers) + body.length + 1_000;
  assert.ok(Math.abs(first - estimate) < 150, `${first} is about ${estimate}`);
  await ask(agent);
  assert.equal(meter.bytes, 2 * first);
  agent.destroy();
  const other = await httpAgent(url, {}, '/', meter);
  await ask(other);
  assert.equal(meter.bytes, count.bytes);
  other.destroy();
  assert.equal(meter.bytes, 3 * first);
});

test('with TLS the handshake and the records are counted', async (t) => {
  const folder = await temporaryFolder(t);
  const subject = ['-subj', '/CN=x', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const made = ['-newkey', 'rsa:2048', '-nodes', '-keyout', 'key.pem', '-out', 'cert.pem'];
  execFileSync('openssl', ['req', '-x509', ...made, ...subject], { cwd: folder, stdio: 'ignore' });
  const cert = await readFile(join(folder, 'cert.pem'));
  const server = createHttpsServer({ cert, key: await readFile(join(folder, 'key.pem')) }, answer);
  const count = await countingProxy(t, await listening(t, server));
  const meter = new WireMeter();
  const url = new URL(`https://127.0.0.1:${count.port}/`);
  const agent = await httpAgent(url, { ca_file: 'cert.pem' }, folder, meter);
  for (let requests = 0; requests < 3; requests++) {
    const body = Buffer.alloc(10_000);
    await httpRequest({ url, method: 'POST', headers: {}, body, timeoutMs: 5_000, agent, signal });
  }
  assert.equal(meter.bytes, count.bytes);
  assert.ok(meter.bytes > 33_000 + 1_500, `${meter.bytes}: more than what is in it`);
  agent.destroy();
});

test('what was sent into a connection that broke is counted, too', async (t) => {
  const server = createProxy((socket) => socket.once('data', () => socket.destroy()));
  const url = new URL(`http://127.0.0.1:${await listening(t, server)}/`);
  const meter = new WireMeter();
  const agent = await httpAgent(url, {}, '/', meter);
  const body = Buffer.alloc(1_000);
  const failed = httpRequest({
    url,
    method: 'POST',
    headers: {},
    body,
    timeoutMs: 5_000,
    agent,
    signal,
  });
  await assert.rejects(failed, { code: 'SINK_DISCONNECTED' });
  assert.ok(meter.bytes >= 1_000, `${meter.bytes}`);
});
