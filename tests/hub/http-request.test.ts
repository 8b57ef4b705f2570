import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { Agent } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type HttpRequest, httpAgent, httpRequest, refusal } from '../../hub/core/http-request.ts';
import { codeOf } from '../contract/sink.ts';
import { type Answer, startTestServer } from '../contract/sink-http-server.ts';
import { afterTest } from '../support/after-test.ts';

async function ask(t: TestContext, address: string, more: Partial<HttpRequest> = {}) {
  const url = new URL(address);
  const agent = more.agent ?? (await httpAgent(url, {}, '/'));
  afterTest(t, () => agent.destroy());
  const signal = new AbortController().signal;
  return await httpRequest({
    url,
    method: 'POST',
    headers: {},
    timeoutMs: 5_000,
    agent,
    signal,
    ...more,
  });
}

/** A server that is not HTTP: `talk` has the bare connection. */
async function startRawServer(t: TestContext, talk: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    talk(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(t, async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`;
}

test('what each status means', async (t) => {
  let answer: Answer = { status: 200 };
  const far = await startTestServer(t, () => answer);
  const expected: readonly [number, string | undefined][] = [
    ...[200, 201, 202, 204].map((status) => [status, undefined] as const),
    ...[301, 302, 307, 308, 401, 403, 404, 407, 410].map((s) => [s, 'SINK_REFUSED'] as const),
    ...[408, 500, 502, 504, 507].map((status) => [status, 'SINK_DISCONNECTED'] as const),
    ...[429, 503].map((status) => [status, 'SINK_THROTTLED'] as const),
    ...[400, 405, 409, 411, 413, 415, 422, 451].map((s) => [s, 'SINK_REJECTED'] as const),
  ].map(([status, code]) => [status, code]);
  for (const [status, code] of expected) {
    answer = { status, headers: { location: 'https://elsewhere/' } };
    const error = refusal(await ask(t, far.url), new URL(far.url));
    assert.equal(error?.code, code, String(status));
    if (error) assert.match(error.message, new RegExp(`^127.0.0.1:\\d+ answered ${status}`));
    if (status >= 300 && status < 400) assert.match(error?.message ?? '', /https:\/\/elsewhere\//);
  }
  assert.equal(far.requests.length, expected.length, 'redirects are not followed');
});

test('the words of the far side, on one line and not too many', async (t) => {
  const body = `bad\u001b[31m\r\nfield\u0000 \u202e"v" ${'x'.repeat(500)}`;
  const far = await startTestServer(t, () => ({ status: 400, body }));
  const { message } = refusal(await ask(t, far.url), new URL(far.url)) ?? {};
  assert.match(message ?? '', /answered 400: bad \[31m field "v" x+$/);
  assert.ok((message?.length ?? 0) < 240);
});

test('Retry-After: seconds, a date by the far side’s clock, nonsense, too long', async (t) => {
  const date = 'Thu, 01 Jan 2026 00:00:00 GMT';
  const expected: readonly [string, number | undefined][] = [
    ['0', 0],
    ['17', 17_000],
    ['999999999999', 3_600_000],
    ['Thu, 01 Jan 2026 00:01:30 GMT', 90_000],
    ['Thu, 01 Jan 2025 00:01:30 GMT', 0],
    ['Thu, 01 Jan 2027 00:00:00 GMT', 3_600_000],
    ['soon', undefined],
    ['-5', undefined],
  ];
  let value = '';
  const far = await startTestServer(t, () => ({
    status: 503,
    headers: { date, 'retry-after': value },
  }));
  for (const [text, waitMs] of expected) {
    value = text;
    const error = refusal(await ask(t, far.url), new URL(far.url));
    assert.equal(error?.retryAfterMs, waitMs, text);
  }
});

test('a body without end is read up to its bound', async (t) => {
  const head = 'HTTP/1.1 400 Bad\r\nContent-Type: text/plain\r\n\r\n';
  const url = await startRawServer(t, (socket) => {
    socket.once('data', () => {
      socket.write(head);
      const pour = () => {
        while (!socket.destroyed && socket.write('x'.repeat(65_536)));
      };
      socket.on('drain', pour);
      pour();
    });
  });
  const { status, text } = await ask(t, url, { answerBytesMax: 100_000 });
  assert.equal(status, 400);
  assert.equal(text.length, 100_000);
});

test('an answer given before the body was read counts', async (t) => {
  const url = await startRawServer(t, (socket) => {
    socket.once('data', () => {
      socket.pause();
      socket.end('HTTP/1.1 413 Too Large\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntoo big');
    });
  });
  const answer = await ask(t, url, { body: Buffer.alloc(8 * 1024 * 1024) });
  assert.equal(answer.status, 413);
  assert.equal(answer.text, 'too big');
});

test('cut at any place is SINK_DISCONNECTED', async (t) => {
  const cuts = [
    '',
    'HTTP/1.1 2',
    'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf',
    'no HTTP\r\n\r\n',
  ];
  for (const cut of cuts) {
    const url = await startRawServer(t, (socket) => {
      socket.once('data', () => socket.end(cut));
    });
    const error = await codeOf(ask(t, url, { body: Buffer.from('x') }));
    assert.equal(error.code, 'SINK_DISCONNECTED', JSON.stringify(cut));
    assert.match(error.message, /127\.0\.0\.1:\d+ cannot be reached/);
  }
});

test('nobody listens, or no such host: SINK_DISCONNECTED', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  server.close();
  await once(server, 'close');
  const refused = await codeOf(ask(t, `http://127.0.0.1:${port}/`));
  assert.equal(refused.code, 'SINK_DISCONNECTED');
  const unknown = await codeOf(ask(t, 'http://far-side.invalid/'));
  assert.equal(unknown.code, 'SINK_DISCONNECTED');
});

test('silence, a drip without end, and a body nobody reads: SINK_TIMEOUT', async (t) => {
  const timers: NodeJS.Timeout[] = [];
  afterTest(t, () => timers.forEach(clearInterval));
  const talks: readonly ((socket: Socket) => void)[] = [
    (socket) => socket.resume(),
    (socket) => {
      socket.resume();
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      timers.push(setInterval(() => socket.write('.'), 20));
    },
    (socket) => socket.pause(),
  ];
  for (const talk of talks) {
    const url = await startRawServer(t, talk);
    const more = { timeoutMs: 200, body: Buffer.alloc(16 * 1024 * 1024) };
    const error = await codeOf(ask(t, url, more));
    assert.equal(error.code, 'SINK_TIMEOUT');
    assert.match(error.message, /did not answer within 0\.2 s/);
  }
});

test('a connection that is never made: SINK_TIMEOUT', async (t) => {
  let resolving: NodeJS.Timeout | undefined;
  afterTest(t, () => clearTimeout(resolving));
  const lookup = () => {
    resolving = setTimeout(() => {}, 60_000); // a resolver that answers long after the test
  };
  const agent = new Agent({ lookup });
  const error = await codeOf(ask(t, 'http://far/', { agent, timeoutMs: 100 }));
  assert.equal(error.code, 'SINK_TIMEOUT');
});

test('a slow uplink may take longer in all than the timeout', async (t) => {
  const url = await startRawServer(t, (socket) => {
    let bytes = 0;
    const read = (): void => {
      const chunk = socket.read(1024 * 1024) ?? socket.read();
      bytes += chunk?.length ?? 0;
      if (bytes > 32 * 1024 * 1024) socket.end('HTTP/1.1 204 No Content\r\n\r\n');
      else setTimeout(read, 20);
    };
    socket.pause();
    read();
  });
  const startMs = performance.now();
  const more = { timeoutMs: 400, body: Buffer.alloc(32 * 1024 * 1024) };
  const { status } = await ask(t, url, more);
  assert.equal(status, 204);
  assert.ok(performance.now() - startMs > 400, 'it was slow');
});

function openssl(folder: string, ...args: string[]): void {
  execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
}

/** A private authority, a server certificate for `name`, and a client certificate. */
async function certificates(t: TestContext, name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-tls-'));
  afterTest(t, () => rm(folder, { recursive: true, force: true }));
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const ca = ['-subj', '/CN=ca', '-keyout', 'ca.key', '-out', 'ca.pem'];
  openssl(folder, 'req', '-x509', ...key, ...ca);
  const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key'];
  const server = ['-subj', '/CN=far', '-addext', `subjectAltName=${name}`];
  openssl(folder, 'req', '-x509', ...key, ...by, ...server, '-keyout', 's.key', '-out', 's.pem');
  const client = ['-subj', '/CN=gateway-01', '-keyout', 'c.key', '-out', 'c.pem'];
  openssl(folder, 'req', '-x509', ...key, ...by, ...client);
  return folder;
}

async function startTlsServer(t: TestContext, folder: string) {
  const read = (file: string) => readFile(join(folder, file));
  const [ca, cert, key] = [await read('ca.pem'), await read('s.pem'), await read('s.key')];
  const clients: string[] = [];
  const options = { ca, cert, key, requestCert: true, rejectUnauthorized: false };
  const server = createHttpsServer(options, (request, response) => {
    const known = 'authorized' in request.socket && request.socket.authorized === true;
    clients.push(known ? 'known' : 'unknown');
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterTest(t, async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const address = server.address();
  return { url: `https://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`, clients };
}

test('TLS: a private authority and a client certificate, from files', async (t) => {
  const folder = await certificates(t, 'IP:127.0.0.1');
  const { url, clients } = await startTlsServer(t, folder);
  const ca = await httpAgent(new URL(url), { ca_file: 'ca.pem' }, folder);
  assert.equal((await ask(t, url, { agent: ca })).status, 200);
  const files = { ca_file: 'ca.pem', cert_file: 'c.pem', key_file: 'c.key' };
  const both = await httpAgent(new URL(url), files, folder);
  assert.equal((await ask(t, url, { agent: both })).status, 200);
  assert.deepEqual(clients, ['unknown', 'known']);
});

test('TLS: unknown authority, another name, missing or broken file: SINK_REFUSED', async (t) => {
  const folder = await certificates(t, 'IP:127.0.0.2');
  const { url } = await startTlsServer(t, folder);
  const unknown = await codeOf(ask(t, url));
  assert.equal(unknown.code, 'SINK_REFUSED');
  assert.match(unknown.message, /ca_file/);
  const otherName = await httpAgent(new URL(url), { ca_file: 'ca.pem' }, folder);
  const named = await codeOf(ask(t, url, { agent: otherName }));
  assert.equal(named.code, 'SINK_REFUSED');
  const missing = await codeOf(httpAgent(new URL(url), { ca_file: 'none.pem' }, folder));
  assert.equal(missing.code, 'SINK_REFUSED');
  assert.match(missing.message, /ca_file .*none\.pem cannot be read/);
  const files = { ca_file: 'ca.pem', cert_file: 'ca.key', key_file: 'ca.pem' };
  const broken = await codeOf(httpAgent(new URL(url), files, folder));
  assert.equal(broken.code, 'SINK_REFUSED');
  assert.match(broken.message, /cannot be used/);
});
