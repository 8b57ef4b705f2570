import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { packageRoot } from '../../config/find-file.ts';
import { renderReport } from '../../hub/cli/doctor-report.ts';
import type { Finding } from '../../hub/core/finding.ts';
import { afterTest } from '../support/after-test.ts';
import { freePort } from '../support/free-port.ts';
import { holdfast, hubYaml, runHub } from '../support/hub-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const NOBODY = 65_534;
/** Of every Debian. */
const DAEMON = 1;
const isRoot = process.getuid?.() === 0;

interface Answer {
  readonly code: unknown;
  readonly ok: boolean;
  readonly findings: readonly Finding[];
  readonly tookMs: number;
}

/** `holdfast doctor --json` with this configuration. */
async function doctor(t: TestContext, folder: string, yaml: string): Promise<Answer> {
  const config = join(folder, 'holdfast.yaml');
  await writeFile(config, yaml);
  const startMs = performance.now();
  const run = holdfast(t, ['doctor', '--json', '--config', config]);
  const code = await run.ended;
  assert.equal(run.stderr, '');
  return { code, ...JSON.parse(run.stdout), tookMs: performance.now() - startMs };
}

function of({ findings }: Pick<Answer, 'findings'>, subject: string): Finding {
  const found = findings.find((finding) => finding.subject === subject);
  return found ?? assert.fail(`nothing about ${subject} in ${JSON.stringify(findings, null, 1)}`);
}

describe('holdfast doctor', () => {
  it('says what is wrong with a configuration, and looks at the machine all the same', async (t) => {
    const answer = await doctor(t, await temporaryFolder(t), 'hub: {idd: x}\nhttp: {port: -1}\n');
    assert.equal(answer.code, 69);
    assert.equal(answer.ok, false);
    const { severity, detail } = of(answer, 'configuration');
    assert.equal(severity, 'problem');
    assert.match(detail, /holdfast\.yaml:1:7 {2}hub\.idd — unknown key .*\(and 1 more\)$/);
    assert.equal(of(answer, 'node').severity, 'ok');
  });

  it('keeps its exit code when nobody reads it to the end', async (t) => {
    const config = join(await temporaryFolder(t), 'holdfast.yaml');
    await writeFile(config, 'hub: {idd: x}\n');
    const run = holdfast(t, ['doctor', '--config', config]);
    run.process.stdout?.destroy();
    assert.equal(await run.ended, 69);
    assert.equal(run.stderr, '');
  });

  it('finds a taken port, a missing serial port and a sink that is away', async (t) => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    afterTest(t, () => server.close());
    const address = server.address();
    assert.ok(address && typeof address === 'object');
    const { port } = address;
    const away = await freePort();
    const sink = `{ id: cloud, type: http, url: "http://127.0.0.1:${away}/in" }`;
    const serial =
      'bridges: [{ id: pico, type: serial, port: /dev/ttyUSB99 }, { id: sim, type: simulator }]';
    const answer = await doctor(t, await temporaryFolder(t), hubYaml([sink], [serial], port));
    assert.equal(answer.code, 69);
    const taken = of(answer, `port ${port}`);
    assert.equal(taken.severity, 'problem');
    assert.match(taken.detail, new RegExp(`\\(pid ${process.pid}, user .*\\) listens on 127`));
    const pico = of(answer, 'bridge pico');
    assert.equal(pico.severity, 'problem');
    assert.match(pico.detail, /there is no port \/dev\/ttyUSB99/);
    assert.equal(of(answer, 'bridge sim').severity, 'ok');
    const cloud = of(answer, 'sink cloud');
    assert.equal(cloud.severity, 'warning');
    assert.match(cloud.detail, /ECONNREFUSED/);
    assert.ok(answer.tookMs < 20_000, `took ${answer.tookMs} ms`); // 5 s, on a machine that is free
    for (const { severity, remedy, detail } of answer.findings)
      if (severity === 'problem' || severity === 'warning') assert.ok(remedy, detail);
  });

  it('finds nothing wrong with a running hub, and does not disturb it', async (t) => {
    const folder = await temporaryFolder(t);
    const mqtt = await freePort();
    const hub = await runHub(t, folder, hubYaml([], [], mqtt));
    await hub.ready();
    const answer = await doctor(t, folder, hubYaml([], [], mqtt));
    const text = JSON.stringify(answer.findings.filter(({ severity }) => severity === 'problem'));
    assert.equal(text, '[]');
    assert.equal(answer.code, 0);
    const { pid } = hub.process;
    assert.match(of(answer, 'data_dir').detail, new RegExp(`running hub, .*pid ${pid}`));
    assert.match(of(answer, `port ${mqtt}`).detail, new RegExp(`the running hub .* pid ${pid}`));
    assert.equal((await hub.get('/health')).status, 200);
  });
});

describe('holdfast doctor on volumes and folders', () => {
  it('knows a data directory of another user', { skip: !isRoot && 'needs root' }, async (t) => {
    const folder = await temporaryFolder(t);
    await chmod(folder, 0o755);
    const config = join(folder, 'holdfast.yaml');
    await writeFile(config, 'hub: { data_dir: ./data }\nhttp: { port: 0 }\n');
    const main = join(packageRoot(), 'dist', 'hub', 'main.js');
    const asNobody = () => {
      const run = spawn(process.execPath, [main, 'doctor', '--json', '--config', config], {
        uid: NOBODY,
        gid: NOBODY,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let text = '';
      run.stdout.on('data', (chunk) => {
        text += chunk;
      });
      return once(run, 'close').then(([code]): Answer => ({ code, ...JSON.parse(text) }));
    };
    const unmade = await asNobody();
    assert.equal(unmade.code, 69);
    assert.match(of(unmade, 'data_dir').detail, /cannot be made in .* belongs to root \(EACCES\)/);
    assert.match(of(unmade, 'data_dir').remedy ?? '', /^sudo install -d -o nobody /);
    await mkdir(join(folder, 'data', 'log'), { recursive: true });
    await chown(join(folder, 'data'), NOBODY, NOBODY);
    await chown(join(folder, 'data', 'log'), NOBODY, NOBODY);
    const fine = await asNobody();
    assert.equal(of(fine, 'data_dir').severity, 'ok');
    await writeFile(join(folder, 'data', 'log', '000005.log'), '', { mode: 0o644 });
    const foreign = await asNobody();
    assert.match(of(foreign, 'data_dir').detail, /000005\.log belongs to another user.*sudo/);
    assert.match(of(foreign, 'data_dir').remedy ?? '', /^sudo chown -R nobody /);
    await chown(join(folder, 'data'), DAEMON, DAEMON);
    const theirs = await asNobody();
    assert.match(of(theirs, 'data_dir').detail, /cannot be written by nobody: .* to daemon/);
    const mine = /^sudo -u daemon holdfast doctor; if the hub is to run as nobody: sudo chown -R/;
    assert.match(of(theirs, 'data_dir').remedy ?? '', mine);
  });

  it('knows a small volume in memory', { skip: !isRoot && 'needs root' }, async (t) => {
    const folder = await temporaryFolder(t);
    const mounted = join(folder, 'data');
    await mkdir(mounted);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mounted], { stdio: 'pipe' });
    } catch {
      t.skip('mounting is not allowed here');
      return;
    }
    try {
      const answer = await doctor(t, folder, hubYaml([]));
      assert.equal(answer.code, 69);
      const texts = answer.findings.filter(({ subject }) => subject === 'disk');
      const details = texts.map(({ severity, detail }) => `${severity}: ${detail}`).join('\n');
      assert.match(details, /problem: 1020 KiB of 1 MiB are free|problem: 1 MiB of 1 MiB are free/);
      assert.match(details, /problem: .*data is tmpfs, in memory/);
    } finally {
      execFileSync('umount', [mounted]);
    }
  });
});

describe('the report', () => {
  const findings: readonly Finding[] = [
    { severity: 'ok', subject: 'clock', detail: 'synchronised by chrony' },
    { severity: 'unknown', subject: 'power', detail: 'nothing here tells' },
    {
      severity: 'problem',
      subject: 'port 1883',
      detail: 'mosquitto (pid 812, user mosquitto) listens on 0.0.0.0:1883 already',
      remedy: 'sudo systemctl disable --now mosquitto, or set another port in mqtt.listeners',
    },
    { severity: 'note', subject: 'usb', detail: 'a \u001b[2Jdevice', remedy: 'look' },
  ];

  it('begins with the worst, and folds what cannot be told', () => {
    const text = renderReport(findings, { columns: 80, colour: false });
    assert.deepEqual(text.split('\n'), [
      '1 problem, 0 warnings, 1 note, 1 fine',
      '',
      'PROBLEM  port 1883  mosquitto (pid 812, user mosquitto) listens on 0.0.0.0:1883',
      '                    already',
      '                    → sudo systemctl disable --now mosquitto, or set another',
      '                      port in mqtt.listeners',
      '',
      'NOTE     usb        a \\u{1b}[2Jdevice',
      '                    → look',
      '',
      'OK       clock      synchronised by chrony',
      '',
      'Cannot be told here: power (nothing here tells)',
      '',
    ]);
  });

  it('is coloured in a terminal', () => {
    const text = renderReport(findings, { columns: 80, colour: true });
    assert.ok(text.includes('\u001b[31mPROBLEM  \u001b[0mport 1883'));
  });
});
