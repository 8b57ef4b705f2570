import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { demoConfig, packageRoot, resolveConfigFile } from '../../config/find-file.ts';
import { loadConfig } from '../../config/load.ts';
import { afterTest } from '../support/after-test.ts';

describe('which configuration counts', () => {
  it('the one that is named, also when it is not there', () => {
    assert.deepEqual(resolveConfigFile('x.yaml'), { file: 'x.yaml' });
  });

  it('else ./holdfast.yaml, else the demo, whose data is where one is', async (t) => {
    const dir = await realpath(await mkdtemp(join(tmpdir(), 'holdfast-find-')));
    const before = process.cwd();
    afterTest(t, async () => {
      process.chdir(before);
      await rm(dir, { recursive: true });
    });
    process.chdir(dir);
    if (!existsSync('/etc/holdfast/holdfast.yaml')) {
      const demo = resolveConfigFile();
      assert.equal(demo.file, join(packageRoot(), 'config', 'demo.yaml'));
      const { config } = loadConfig(demo, {});
      assert.equal(config.hub.data_dir, join(dir, 'data'));
      assert.equal(config.mqtt.listeners[0]?.port, 1883);
      assert.equal(config.http.port, 8080);
    }
    await writeFile('holdfast.yaml', 'hub: {id: here}\n');
    assert.equal(loadConfig(resolveConfigFile(), {}).config.hub.id, 'here');
  });

  it('the demo can be found from the built code', () => {
    assert.ok(existsSync(demoConfig().file));
    assert.ok(existsSync(join(packageRoot(), 'package.json')));
  });
});
