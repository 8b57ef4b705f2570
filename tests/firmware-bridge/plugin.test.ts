import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { MessageReader, sendOver } from '../../firmware-bridge/plugin/channel.ts';
import { PluginBridge } from '../../firmware-bridge/plugin/plugin.ts';
import { WAITING_MESSAGES_MAX } from '../../firmware-bridge/plugin/protocol.ts';
import { pluginSpec } from '../../firmware-bridge/plugin/spec.ts';
import { HubError } from '../../hub/core/errors.ts';
import { bridgeContract } from '../contract/bridge.ts';
import { afterTest } from '../support/after-test.ts';
import { BridgeSession } from '../support/bridge-session.ts';
import { holdfast, hubYaml, runHub } from '../support/hub-process.ts';
import { ROOT } from '../support/repository.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { until } from '../support/until.ts';

const PERIOD_MS = 20;

/** The text of a module whose `run` is this. */
const running = (body: string) => `export const apiVersion = 1;
export async function run(bridge, options) {
${body}
}
`;

async function bridgeOf(folder: string, text: string, options: object = {}, more: object = {}) {
  const file = join(folder, 'my-bridge.mjs');
  await writeFile(file, text);
  return new PluginBridge(pluginSpec.options.parse({ file, options, ...more }));
}

async function begun(t: TestContext, body: string, options: object = {}) {
  const session = new BridgeSession();
  const bridge = await bridgeOf(await temporaryFolder(t), running(body), options);
  session.begin(bridge);
  afterTest(t, () => session.stop());
  return { session, bridge };
}

bridgeContract('plugin', {
  async start() {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-plugin-'));
    const flag = join(folder, 'gone');
    const text = `
      import { existsSync } from 'node:fs';
      import { setTimeout as sleep } from 'node:timers/promises';
      ${running(`
        while (!existsSync(options.flag)) {
          await bridge.publish('plugin/a', { t: 1 });
          await sleep(${PERIOD_MS}, undefined, { signal: bridge.signal });
        }
        throw bridge.lost('it was unplugged');`)}`;
    return {
      bridge: await bridgeOf(folder, text, { flag }),
      loseHardware: () => writeFile(flag, ''),
      stop: () => rm(folder, { recursive: true, force: true }),
    };
  },
  hasHardware: true,
  periodMs: PERIOD_MS,
  unacceptedMax: 1,
});

/** What the bridge fails with when this is its plugin. `{file}` stands for the path. */
const BROKEN: readonly (readonly [what: string, text: string, message: string, more?: object])[] = [
  [
    'a syntax error',
    'export const apiVersion = 1;\nconst x = ;\n',
    "{file}:2: SyntaxError: Unexpected token ';'",
  ],
  [
    'no export of an import',
    "import { no } from 'node:fs';",
    "{file}:1: SyntaxError: The requested module 'node:fs' does not provide an export named 'no'",
  ],
  [
    'a missing package',
    "\nimport 'no-such-package';",
    "{file}: Cannot find package 'no-such-package' imported from {file}",
  ],
  [
    'no version',
    'export async function run() {}',
    '{file}: it does not say `export const apiVersion = 1`, so nobody knows what it expects',
  ],
  [
    'another version',
    'export const apiVersion = 2;',
    '{file}: it is written for apiVersion 2; this hub has 1',
  ],
  [
    'no run',
    'export const apiVersion = 1;',
    '{file}: it has no `export async function run(bridge, options)`',
  ],
  ['a throw at its top level', "\n\nthrow new Error('no bus');", '{file}:3: no bus'],
  [
    'a throw in run',
    running("  throw new TypeError('no such pin');"),
    '{file}:3: TypeError: no such pin',
  ],
  ['a throw of something', running('  throw 7;'), '{file}: it threw 7'],
  [
    'its own words',
    running("  throw bridge.lost('the sensor at 0x40 does not answer');"),
    '{file}: the sensor at 0x40 does not answer',
  ],
  [
    'a rejection nobody caught',
    running("  Promise.reject(new Error('late'));\n  await new Promise(() => {});"),
    '{file}:3: late',
  ],
  [
    'a throw in a timer',
    running(
      "  setTimeout(() => {\n    throw new RangeError('far');\n  });\n  await new Promise(() => {});",
    ),
    '{file}:4: RangeError: far',
  ],
  ['process.exit', running('  process.exit(9);'), '{file}: its process ended with code 9'],
  [
    'a crash',
    running('  process.kill(process.pid, "SIGSEGV");\n  await new Promise(() => {});'),
    '{file}: its process was ended by SIGSEGV',
  ],
  [
    'run that ends',
    running(''),
    '{file}: its `run` ended, and should go on until `bridge.signal` aborts',
  ],
  [
    'too much memory',
    running('  const all = [];\n  for (;;) all.push(new Array(1e5).fill(all.length));'),
    '{file} needs more memory than its `heap_max` of 16 MiB',
    { heap_max: '16 MiB' },
  ],
  [
    'a topic that is none',
    running("  await bridge.publish('a/#', 1);"),
    '{file}:3: TypeError: publish: the topic has a wildcard or a control character: a/#',
  ],
  [
    'a state that is too large',
    running("  await bridge.publish('a', 1, { state: { k: 'x'.repeat(2000) } });"),
    '{file}: the bridge remembers too much',
  ],
  [
    'a state that cannot be sent',
    running("  await bridge.publish('a', 1, { state: { k: () => 1 } });"),
    '{file}:3: () => 1 could not be cloned.',
  ],
  [
    'bytes of its own on the channel',
    `import { writeSync } from 'node:fs';\n${running(
      '  writeSync(3, Buffer.alloc(9, 255));\n  await new Promise(() => {});',
    )}`,
    '{file} sent what is no message: a message of 4294967295 bytes; at most 4194304; ' +
      'does it write to file descriptor 3, or much too much?',
  ],
  [
    'a message of its own on the channel',
    `import { writeSync } from 'node:fs';\n${running(
      '  writeSync(3, Buffer.from([2, 0, 0, 0, 9, 9]));\n  await new Promise(() => {});',
    )}`,
    '{file} sent what is no message: Unable to deserialize cloned data due to invalid or ' +
      'unsupported version.; does it write to file descriptor 3, or much too much?',
  ],
  [
    'options that it refuses',
    `${running('')}export const check = () => ['is odd', 'x'];`,
    '{file}: `options`: is odd; 1 more: see `holdfast check`',
  ],
];

for (const [what, text, message, more] of BROKEN)
  test(`a plugin with ${what}: named, with its line, and no harm is done`, async (t) => {
    const folder = await temporaryFolder(t);
    const session = new BridgeSession();
    session.gate = async () => {
      if (what.startsWith('a state')) throw new RangeError('the bridge remembers too much');
    };
    const bridge = await bridgeOf(folder, text, {}, more);
    await assert.rejects(session.run(bridge), (error) => {
      assert.ok(error instanceof HubError && error.code === 'BRIDGE_LOST', String(error));
      const wanted = message.replaceAll('{file}', join(folder, 'my-bridge.mjs'));
      assert.equal(error.message.replace(/^the plugin /, ''), wanted);
      assert.ok((error.retryAfterMs ?? 0) <= 500);
      return true;
    });
  });

test('a file that is not there', async () => {
  const bridge = new PluginBridge(pluginSpec.options.parse({ file: '/none/my.mjs' }));
  await assert.rejects(
    new BridgeSession().run(bridge),
    /the plugin \/none\/my\.mjs cannot be read/,
  );
});

test('what it publishes: text, bytes and JSON, with state that is remembered', async (t) => {
  const body = `
    const before = await bridge.loadState('c');
    await bridge.publish('a/text', 'hello');
    await bridge.publish('a/bytes', new Uint8Array([1, 255]));
    await bridge.publish('a/json', { t: 21.5 }, { state: { count: (before.get('count') ?? 0) + 1, 'x': 1 } });
    await new Promise(() => {});`;
  const { session, bridge } = await begun(t, body);
  await until('three', () => session.messages.length === 3);
  assert.deepEqual(
    session.messages.map(({ topic, payload }) => [topic, payload.toString('latin1')]),
    [
      ['a/text', 'hello'],
      ['a/bytes', '\x01\xff'],
      ['a/json', '{"t":21.5}'],
    ],
  );
  await until('remembered', () => session.state.size === 2);
  await session.stop();
  const again = new BridgeSession();
  for (const [key, value] of session.state) again.state.set(key, value);
  again.begin(bridge);
  afterTest(t, () => again.stop());
  await until('remembered again', () => again.state.get('count') === 2);
});

test('what it says: connected, described, counted, logged; and it gets no token', async (t) => {
  process.env['HOLDFAST_TOKEN'] = 'secret';
  afterTest(t, () => delete process.env['HOLDFAST_TOKEN']);
  const body = `
    bridge.connected();
    bridge.describe('a bit dirty');
    bridge.badFrames('checksum', 2);
    bridge.badFrames('nonsense', 2);
    bridge.log.warn('careful ' + process.env.HOLDFAST_TOKEN + ' ' + bridge.id);
    console.log('printed');
    for (let i = 0; i < 5000; i++) console.error('noise');
    await bridge.publish('a', options.list);
    await new Promise(() => {});`;
  const { session } = await begun(t, body, { list: [1, { b: 2 }] });
  await until('all of it', () => session.messages.length === 1 && session.logged.length >= 100);
  assert.equal(session.connections, 1);
  assert.equal(session.detail, 'a bit dirty');
  assert.deepEqual(session.bad, ['checksum', 'checksum']);
  assert.match(session.logged.join(''), /careful undefined bridge-1/);
  assert.ok(session.logged.length <= 100, 'what is printed does not fill the card');
  assert.equal(String(session.messages[0]?.payload), '[1,{"b":2}]');
});

test('messages are found however the pipe cuts them', () => {
  const sent: Buffer[] = [];
  const pipe = new Duplex({
    read() {},
    write(chunk, _, done) {
      sent.push(chunk);
      done();
    },
  });
  const messages = [{ is: 'ping' }, { n: 1, bytes: Buffer.alloc(300, 7) }, { is: 'stop' }];
  for (const message of messages) sendOver(pipe, message);
  const all = Buffer.concat(sent);
  for (let size = 1; size <= all.length; size++) {
    const reader = new MessageReader(1_000);
    const found: unknown[] = [];
    for (let at = 0; at < all.length; at += size)
      found.push(...reader.push(all.subarray(at, at + size)));
    assert.deepEqual(found, messages, `in pieces of ${size}`);
  }
  assert.throws(() => new MessageReader(300).push(all), /a message of \d+ bytes; at most 300/);
});

test('publish without await is bounded', async (t) => {
  const body = `
    let refused;
    for (let i = 0; i < 3000; i++)
      bridge.publish('a', i).catch((error) => { refused ??= error; });
    await new Promise((resolve) => setTimeout(resolve, 10));
    bridge.describe(refused.message);
    await new Promise(() => {});`;
  const { session } = await begun(t, body);
  session.gate = () => new Promise(() => {});
  await until('refused', () => session.detail !== undefined);
  assert.match(session.detail ?? '', /1000 messages wait for the log: `await` publish/);
  assert.equal(session.messages.length, WAITING_MESSAGES_MAX);
});

test('commands: answered, refused, abandoned, and lost with the plugin', async (t) => {
  const body = `
    bridge.commands(['lamp'], async ({ name, data, device, sent, signal }) => {
      sent();
      if (name === 'throw') throw new Error('no such level');
      if (name === 'wait') return await new Promise((resolve) =>
        signal.addEventListener('abort', () => { bridge.describe('abandoned'); resolve(); }));
      if (name === 'exit') process.exit(1);
      if (name === 'much') return new Uint8Array(2 ** 20 + 1);
      return name === 'nothing' ? undefined : { device, data };
    });
    bridge.connected();
    await new Promise(() => {});`;
  const { session, bridge } = await begun(t, body);
  const { commands } = bridge;
  assert.equal(commands.owns('lamp'), undefined, 'not known yet');
  await until('connected', () => session.connections === 1);
  assert.deepEqual([commands.owns('lamp'), commands.owns('pump')], [true, false]);
  let sent = 0;
  const give = (name: string, payload: string, signal = new AbortController().signal) => {
    const order = { id: name, device: 'lamp', name, payload: Buffer.from(payload) };
    return commands.carryOut(order, () => sent++, signal);
  };
  assert.deepEqual(await give('set', '{"a":1}'), {
    state: 'done',
    answer: Buffer.from('{"device":"lamp","data":{"a":1}}'),
  });
  assert.deepEqual(await give('nothing', ''), { state: 'done' });
  assert.deepEqual(await give('throw', ''), { state: 'failed', detail: 'no such level' });
  assert.match(JSON.stringify(await give('much', '')), /1048577 bytes of data; at most 1048576/);
  assert.match(
    JSON.stringify(await give('wait', '', AbortSignal.timeout(50))),
    /its time was over/,
  );
  await until('it knows', () => session.detail === 'abandoned');
  assert.match(JSON.stringify(await give('exit', '')), /ended before it answered/);
  assert.equal(sent, 6);
  await assert.rejects(session.ended);
  assert.equal(commands.owns('lamp'), true, 'its devices remain its own');
  assert.match(JSON.stringify(await give('set', '')), /does not run/);
});

test('a plugin that takes no commands does not stand in the way of others', async (t) => {
  const broken = await bridgeOf(await temporaryFolder(t), 'no');
  await assert.rejects(new BridgeSession().run(broken));
  assert.equal(broken.commands.owns('lamp'), false);
});

/** `holdfast check` with the plugin's text: what it prints. */
async function checked(t: TestContext, folder: string, text: string, options: string) {
  await writeFile(join(folder, 'my.mjs'), text);
  const yaml = `bridges:\n  - id: a\n    type: plugin\n    file: ./my.mjs\n    options: ${options}\n`;
  await writeFile(join(folder, 'holdfast.yaml'), yaml);
  const check = holdfast(t, ['check', '--config', join(folder, 'holdfast.yaml')]);
  return { code: await check.ended, printed: check.stderr };
}

test('`holdfast check` says what is wrong, with the line of the option or of the plugin', async (t) => {
  const folder = await temporaryFolder(t);
  const check = `${running('')}
    export async function check({ pins }) {
      return pins.flatMap((pin, i) => (pin > 27 ? [{ path: ['pins', i], message: 'is no pin' }] : []));
    }`;
  const bad = await checked(t, folder, check, '\n      pins: [4,\n        28]');
  assert.equal(bad.code, 78);
  assert.match(bad.printed, /holdfast\.yaml:7:9 {2}bridges\[0\]\.options\.pins\[1\] — is no pin/);
  assert.equal((await checked(t, folder, check, '{ pins: [4] }')).code, 0);
  const broken = await checked(t, folder, 'const x = ;', '{}');
  assert.equal(broken.code, 78);
  assert.match(broken.printed, /:4:11 {2}bridges\[0\]\.file — the plugin .*my\.mjs:1: SyntaxError/);
  const throwing = `${running('')}\nexport function check(options) {\n  options.a.b;\n}`;
  assert.match((await checked(t, folder, throwing, '{}')).printed, /my\.mjs:7: TypeError: Cannot/);

  const signal = new AbortController().signal;
  const look = async (file: string) =>
    (await pluginSpec.examine(pluginSpec.options.parse({ file }), signal))[0];
  assert.equal((await look(join(folder, 'none.mjs')))?.severity, 'problem');
  await writeFile(join(folder, 'good.mjs'), running(''));
  assert.equal((await look(join(folder, 'good.mjs')))?.severity, 'ok');
});

/** Every example of the documentation is one of these. */
async function exampleOf(page: string, language: string): Promise<string> {
  const text = await readFile(join(ROOT, page), 'utf8');
  return new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(text)?.[1] ?? '';
}

/** A thermostat, as the example of docs/plugin.md reads it. */
async function thermostat(t: TestContext) {
  const told: string[] = [];
  const server = createServer((request, response) => {
    if (request.method === 'GET') {
      response.end('{"temperature":21.5}');
      return;
    }
    request.on('data', (chunk) => told.push(String(chunk)));
    request.on('end', () => response.end('ok'));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  afterTest(t, () => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, told };
}

test('the example of docs/plugin.md runs in the whole hub, and takes commands', async (t) => {
  const folder = await temporaryFolder(t);
  const { url, told } = await thermostat(t);
  await writeFile(join(folder, 'thermostat.mjs'), await exampleOf('docs/plugin.md', 'js'));
  const yaml = await exampleOf('docs/plugin.md', 'yaml');
  assert.equal(yaml, await exampleOf('firmware-bridge/plugin/README.md', 'yaml'));
  await writeFile(join(folder, 'check.yaml'), yaml);
  const check = holdfast(t, ['check', '--config', join(folder, 'check.yaml')]);
  assert.equal(await check.ended, 0, check.stderr);

  const own = yaml.trimEnd().replace('http://192.168.1.40/api', url).replace('30 }', '0.1 }');
  const broken = '  - {id: broken, type: plugin, file: ./broken.mjs}';
  await writeFile(
    join(folder, 'broken.mjs'),
    running('  setTimeout(() => null.x);\n  await new Promise(() => {});'),
  );
  const hub = await runHub(t, folder, hubYaml([], [own, broken]));
  await hub.ready();
  await until('a reading', async () => {
    const latest = await (await hub.get('/api/v1/latest')).text();
    return /"hall"/.test(latest) && /21\.5/.test(latest);
  });
  const answer = await fetch(`${hub.url}/api/v1/devices/hall/commands`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'setpoint', data: 19 }),
  });
  assert.equal(answer.status, 202);
  const location = answer.headers.get('location') ?? '';
  await until('done', async () => /"done".*"ok"/.test(await (await hub.get(location)).text()));
  assert.deepEqual(told, ['19']);
  await until('the broken one is named', async () => {
    const { bridges } = (await hub.status()).inputs;
    const detail = bridges.find(({ id }) => id === 'broken')?.detail ?? '';
    return /broken\.mjs:3: TypeError/.test(detail);
  });
  assert.equal((await hub.get('/ready')).status, 200);

  assert.ok((await titles()).includes('holdfast plugin hall'));
  await hub.kill('SIGKILL');
  await until('no plugin outlives the hub', async () => {
    return !(await titles()).includes('holdfast plugin hall');
  });
});

async function titles(): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')),
  );
  return lines.map((line) => line.replaceAll('\0', ' ').trim());
}

test('a plugin that blocks does not hold up the stop of the hub', async (t) => {
  const { session } = await begun(t, "await bridge.publish('a', 1);\n  for (;;) ;");
  await until('the first', () => session.messages.length === 1);
  const startMs = performance.now();
  await session.stop();
  assert.ok(performance.now() - startMs < 1_000);
});

test('a plugin in which nothing runs any more is given up', async (t) => {
  const folder = await temporaryFolder(t);
  const patience = { askEveryMs: 500, silentMax: 3 };
  const bridgeWith = async (name: string, text: string) => {
    const file = join(folder, name);
    await writeFile(file, text);
    return new PluginBridge(pluginSpec.options.parse({ file }), patience);
  };
  const idle = new BridgeSession();
  const says = "  await bridge.publish('a', 1);\n  await new Promise(() => {});";
  idle.begin(await bridgeWith('idle.mjs', running(says)));
  afterTest(t, () => idle.stop());
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['top.mjs', 'await new Promise(() => {});', /top\.mjs does not load: does it wait or loop/],
    ['check.mjs', `${running('')}export const check = () => new Promise(() => {});`, /not load/],
    ['loop.mjs', running('  for (;;) ;'), /loop\.mjs has done nothing for 1\.5 s: does it loop/],
  ];
  await Promise.all(
    cases.map(async ([name, text, message]) => {
      const bridge = await bridgeWith(name, text);
      await assert.rejects(new BridgeSession().run(bridge), message);
    }),
  );
  assert.equal(idle.messages.length, 1);
  await Promise.race([idle.ended, delay(500)]); // one that has little to say is not stuck
});
