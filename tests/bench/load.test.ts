import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { Aedes } from 'aedes';
import { parseResult } from '../../bench/load.ts';
import { afterTest } from '../support/after-test.ts';
import { ROOT } from '../support/repository.ts';

/** How a generator is started; the C one only where there is a compiler. */
type Generator = (
  t: TestContext,
) => readonly [command: string, before: readonly string[]] | undefined;

const GENERATORS: Readonly<Record<string, Generator>> = {
  'mqtt-load.ts': () => [process.execPath, [join(ROOT, 'dist', 'bench', 'mqtt-load.js')]],
  'mqtt-load.c': (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-load-'));
    afterTest(t, () => rmSync(folder, { recursive: true }));
    const program = join(folder, 'mqtt-load');
    const source = join(ROOT, 'bench', 'mqtt-load.c');
    try {
      execFileSync('cc', ['-std=gnu11', '-O2', '-Wall', '-Werror', '-o', program, source]);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
    return [program, []];
  },
};

async function listening(t: TestContext, onSocket: (socket: Socket) => void): Promise<string> {
  const server = createServer(onSocket).listen(0, '127.0.0.1');
  afterTest(t, () => server.close());
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return String(address.port);
}

for (const [name, generator] of Object.entries(GENERATORS)) {
  test(`${name}: publishes every message once, in order, and reports it`, async (t) => {
    const [command, before] = generator(t) ?? [];
    if (!command || !before) return t.skip('needs a C compiler: apt-get install gcc');
    const broker = await Aedes.createBroker();
    const seen = new Map<string, { n: number; length: number }[]>();
    broker.on('publish', (packet, client) => {
      if (!client) return;
      const payload = packet.payload.toString();
      const list = seen.get(packet.topic) ?? [];
      seen.set(packet.topic, list);
      list.push({ n: JSON.parse(payload).n, length: payload.length });
    });
    const port = await listening(t, broker.handle);
    const run = promisify(execFile);
    const { stdout } = await run(command, [...before, port, '3', '10', '1000', '90']);
    const result = parseResult(stdout);
    assert.equal(result.messages, 1000);
    assert.ok(result.seconds > 0 && result.ackMs.p50 > 0);
    assert.ok(result.ackMs.p50 <= result.ackMs.p99 && result.ackMs.p99 <= result.ackMs.max);
    assert.deepEqual([...seen.values()].map((list) => list.length).sort(), [333, 333, 334]);
    for (const list of seen.values())
      for (const [i, { n, length }] of list.entries()) assert.deepEqual([n, length], [i, 90]);
    await promisify(broker.close.bind(broker))();
  });

  test(`${name}: publishes no faster than it is paced`, async (t) => {
    const [command, before] = generator(t) ?? [];
    if (!command || !before) return t.skip('needs a C compiler: apt-get install gcc');
    const broker = await Aedes.createBroker();
    const port = await listening(t, broker.handle);
    const shape = [port, '2', '10', '30', '90', '100'];
    const { stdout } = await promisify(execFile)(command, [...before, ...shape]);
    const { messages, seconds } = parseResult(stdout);
    assert.equal(messages, 30);
    assert.ok(seconds >= 0.29 && seconds < 3, `${seconds} s for 30 at 100 a second`);
    await promisify(broker.close.bind(broker))();
  });

  test(`${name}: an acknowledgement of what was not sent fails the run`, async (t) => {
    const [command, before] = generator(t) ?? [];
    if (!command || !before) return t.skip('needs a C compiler: apt-get install gcc');
    const port = await listening(t, (socket) => {
      socket.once('data', () => {
        socket.write(Buffer.from([0x20, 2, 0, 0]));
        socket.once('data', () => socket.write(Buffer.from([0x40, 2, 0x77, 0x77])));
      });
      socket.on('error', () => {}); // the generator leaves without a goodbye
    });
    const run = promisify(execFile)(command, [...before, port, '1', '10', '100', '90']);
    await assert.rejects(run, /PUBACK for id 30583, which is not in flight/);
  });
}

test('a line that is no result is refused', () => {
  assert.throws(() => parseResult('{"messages":1}'), /not a result/);
});
