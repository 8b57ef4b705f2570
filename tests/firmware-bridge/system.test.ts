import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { examineSystem } from '../../firmware-bridge/system/examine.ts';
import { deviceOf } from '../../firmware-bridge/system/fields.ts';
import { modemValues, signalValues } from '../../firmware-bridge/system/modem.ts';
import { systemSpec } from '../../firmware-bridge/system/spec.ts';
import { SystemBridge } from '../../firmware-bridge/system/system.ts';
import { MACHINE } from '../../hub/machine/roots.ts';
import { createDecoder } from '../../hub/process/decode/decoder.ts';
import { parsed, problemsOf } from '../config/problems-of.ts';
import { bridgeContract } from '../contract/bridge.ts';
import { afterTest } from '../support/after-test.ts';
import { BridgeSession } from '../support/bridge-session.ts';
import { ROOT } from '../support/repository.ts';
import { until } from '../support/until.ts';

const parse = (given: object = {}) =>
  systemSpec.options.parse({ interval: '50 ms', device: 'pi', ...given });

bridgeContract('system', {
  start: async () => ({ bridge: new SystemBridge(parse({ include: ['cpu', 'memory', 'disk'] })) }),
  periodMs: 60,
  hasHardware: false,
  unacceptedMax: 1,
});

/** Files as the kernel and the firmware of a Pi lay them out; a link is `{ to }`. */
async function machineOf(t: TestContext, files: Readonly<Record<string, string | { to: string }>>) {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-system-'));
  afterTest(t, () => rm(folder, { recursive: true, force: true }));
  const write = async (path: string, content: string | { to: string }) => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    if (typeof content === 'string') await writeFile(join(folder, path), content);
    else await symlink(content.to, join(folder, path));
  };
  for (const [path, content] of Object.entries(files)) await write(path, content);
  const roots = { ...MACHINE, sys: join(folder, 'sys'), proc: join(folder, 'proc') };
  const around = { roots, vcgencmd: join(folder, 'none'), mmcli: join(folder, 'mmcli') };
  return { around, write, folder };
}

function begun(t: TestContext, bridge: SystemBridge) {
  const session = new BridgeSession();
  afterTest(t, () => session.stop());
  session.begin(bridge);
  /** The newest value of every metric. */
  const values = (): Record<string, unknown> =>
    Object.assign({}, ...session.messages.map(({ payload }) => JSON.parse(String(payload))));
  return { session, values };
}

const PI: Readonly<Record<string, string | { to: string }>> = {
  'sys/class/thermal/thermal_zone0/type': 'cpu-thermal\n',
  'sys/class/thermal/thermal_zone0/temp': '61322\n',
  'sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq': '1500000\n',
  'proc/loadavg': '0.52 0.58 0.59 1/245 12345\n',
  'proc/uptime': '3600.42 14000.00\n',
  'proc/stat': 'cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 1 1 1\n',
  'proc/pressure/cpu': 'some avg10=1.00 avg60=2.50 avg300=3.00 total=1\n',
  'proc/pressure/memory': 'some avg10=0.00 avg60=0.25 avg300=0.00 total=1\nfull avg60=9.00\n',
  'proc/pressure/io': 'some avg10=0.00 avg60=4.00 avg300=0.00 total=1\n',
  'proc/meminfo':
    'MemTotal:         926000 kB\nMemAvailable:     463000 kB\nSwapTotal:  102400 kB\nSwapFree:  51200 kB\n',
  'proc/self/mountinfo':
    '21 1 179:2 / / ro,noatime shared:1 - ext4 /dev/mmcblk0p2 ro,errors=remount-ro\n',
  'sys/dev/block/179:2': { to: '../../block/mmcblk0/mmcblk0p2' },
  'sys/block/mmcblk0/mmcblk0p2/partition': '2\n',
  'sys/block/mmcblk0/stat': '  9  8  1000  7  6  5  2000  4  0  3  2\n',
  'sys/block/mmcblk0/device/life_time': '0x02 0x04\n',
  'sys/block/mmcblk0/device/pre_eol_info': '0x01\n',
  'sys/block/mmcblk0/device/type': 'MMC\n',
  'sys/block/mmcblk0/device/name': 'DG4016\n',
  'sys/block/mmcblk0/device/date': '06/2021\n',
  'sys/fs/ext4/mmcblk0p2/errors_count': '3\n',
  'sys/class/net/eth0/operstate': 'up\n',
  'sys/class/net/eth0/device/vendor': '0x1\n',
  'sys/class/net/eth0/statistics/rx_bytes': '123456789012\n',
  'sys/class/net/eth0/statistics/tx_bytes': '42\n',
  'sys/class/net/eth0/statistics/rx_errors': '0\n',
  'sys/class/net/eth0/statistics/tx_errors': '1\n',
  'sys/class/net/wlan0/operstate': 'down\n',
  'sys/class/net/wlan0/device/vendor': '0x1\n',
  'sys/class/net/wg0/operstate': 'unknown\n',
  'sys/class/net/wg0/carrier': '1\n',
  'sys/class/net/veth12/operstate': 'up\n',
  'proc/net/wireless':
    'Inter-| sta-|   Quality        |\n face | tus | link level noise |\n wlan0: 0000   54.  -56.  -256        0\n',
  'proc/net/route':
    'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n' +
    'wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\n' +
    'eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\n',
  'sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled': '50000\n',
};

test('a Raspberry Pi: everything that it tells, and nothing of what it has not', async (t) => {
  const { around, write } = await machineOf(t, PI);
  const { session, values } = begun(t, new SystemBridge(parse(), around));
  await until('all sections', () => session.messages.length >= 5);
  await write('proc/stat', 'cpu  150 0 150 850 150 0 0 0 0 0\n');
  await until('the use since then', () => 'cpu_use' in values());
  const { time: _, ...found } = values();
  for (const name of ['size_bytes', 'free_bytes', 'use_percent', 'inodes_free']) {
    assert.ok(Number(found[`disk_root_${name}`]) >= 0, name);
    delete found[`disk_root_${name}`];
  }
  assert.deepEqual(found, {
    ...{ cpu_temperature: 61.3, cpu_frequency: 1500, cpu_use: 33.3, cpu_wait: 16.7 },
    ...{ load_1: 0.52, load_5: 0.58, load_15: 0.59, cpu_pressure: 2.5, uptime: 3600 },
    ...{ memory_total: 948224000, memory_available: 474112000, memory_use: 50 },
    ...{ swap_total: 104857600, swap_used: 52428800, memory_pressure: 0.25 },
    ...{ disk_root_read_only: true, disk_root_errors: 3, disk_root_card: 'DG4016 06/2021' },
    ...{ disk_root_read_bytes: 512000, disk_root_written_bytes: 1024000 },
    ...{ disk_root_life_used_percent: 40, disk_root_spare_state: 1, io_pressure: 4 },
    ...{ default_route: 'eth0', net_eth0_up: true, net_eth0_received_bytes: 123456789012 },
    ...{ net_eth0_sent_bytes: 42, net_eth0_receive_errors: 0, net_eth0_send_errors: 1 },
    ...{ net_wlan0_up: false, net_wlan0_signal_dbm: -56, net_wg0_up: true },
    ...{ under_voltage: false, frequency_capped: false, throttled: false },
    ...{ temperature_limited: false, under_voltage_since_boot: true, throttled_since_boot: true },
    ...{ frequency_capped_since_boot: false, temperature_limited_since_boot: false },
  });
  assert.ok(session.messages.every(({ topic }) => topic === 'system/pi'));
});

test('under-voltage is told at once, as an alarm, and when it is over', async (t) => {
  const { around, write } = await machineOf(t, {
    'sys/class/hwmon/hwmon1/name': 'rpi_volt\n',
    'sys/class/hwmon/hwmon1/in0_lcrit_alarm': '0\n',
  });
  const options = parse({ include: ['power'], interval: '1 h', power_interval: '100 ms' });
  const { session } = begun(t, new SystemBridge(options, around));
  await until('the first reading', () => session.messages.length === 1);
  const alarm = 'sys/class/hwmon/hwmon1/in0_lcrit_alarm';
  for (const low of [true, false]) {
    await write(alarm, low ? '1\n' : '0\n');
    await until('it is told', () => session.messages.length === (low ? 2 : 3));
    const { topic, payload, kind } = session.messages.at(-1) ?? assert.fail();
    assert.deepEqual([topic, kind], ['system/pi/alarm', 'alarm']);
    assert.equal(JSON.parse(String(payload)).under_voltage, low);
  }
});

test('a machine that tells nothing costs nothing: no messages, no losses', async (t) => {
  const { around } = await machineOf(t, { 'proc/uptime': '1.0 1.0' });
  const include = ['power', 'modem', 'cpu'];
  const { session, values } = begun(t, new SystemBridge(parse({ include }), around));
  await until('three readings', () => session.messages.length >= 3);
  const { time: _, ...found } = values();
  assert.deepEqual(found, { uptime: 1 });
  assert.doesNotMatch(session.detail ?? '', /cannot be read|power|modem/);
});

test('interfaces are bounded, and a named one that is gone is down', async (t) => {
  const many = Array.from({ length: 12 }, (_, i) => `sys/class/net/eth${i}/device/vendor`);
  const files = Object.fromEntries(many.map((path) => [path, 'x']));
  const { around } = await machineOf(t, files);
  const bounded = begun(t, new SystemBridge(parse({ include: ['network'] }), around));
  await until('a reading', () => bounded.session.messages.length > 0);
  const ups = Object.keys(bounded.values()).filter((name) => name.endsWith('_up'));
  assert.deepEqual(
    ups,
    Array.from({ length: 8 }, (_, i) => `net_eth${i}_up`),
  );
  await until('it is told', () => /4 more interfaces/.test(bounded.session.detail ?? ''));
  const interfaces = ['eth11', 'usb-0'];
  const named = begun(t, new SystemBridge(parse({ include: ['network'], interfaces }), around));
  await until('a reading', () => named.session.messages.length > 0);
  assert.deepEqual(
    Object.keys(named.values()).filter((name) => name !== 'time'),
    ['default_route', 'net_eth11_up', 'net_usb_0_up'],
  );
  const findings = await examineSystem(
    parse({ interfaces, disks: [{ name: 'gone', path: '/there-is-none' }] }),
    new AbortController().signal,
    around.roots,
  );
  assert.deepEqual(
    findings.map(({ subject, severity }) => `${severity} ${subject}`),
    ['warning usb-0', 'problem /there-is-none'],
  );
});

const MODEM = JSON.stringify({
  modem: {
    '3gpp': { 'operator-name': 'Telekom.de', 'registration-state': 'home' },
    'dbus-path': '/org/freedesktop/ModemManager1/Modem/0',
    generic: {
      'access-technologies': ['lte'],
      'signal-quality': { recent: 'yes', value: '61' },
      state: 'connected',
    },
  },
});
const SIGNAL = JSON.stringify({
  modem: {
    signal: {
      '5g': { rsrp: '--', rsrq: '--', snr: '--' },
      lte: { rsrp: '-95.00', rsrq: '-11.00', rssi: '-63.00', snr: '12.00', 'error-rate': '--' },
      refresh: { rate: '30' },
    },
  },
});

test('a modem is read through mmcli, and one that hangs holds up nothing else', async (t) => {
  assert.deepEqual(modemValues('error: no modems'), []);
  assert.deepEqual(signalValues('{"modem":{}}'), []);
  const { around, write, folder } = await machineOf(t, { 'proc/uptime': '1.0 1.0' });
  const script = `#!/bin/sh\ncase "$*" in *signal-get*) echo '${SIGNAL}';; *) echo '${MODEM}';; esac\n`;
  await write('mmcli', script);
  await chmod(join(folder, 'mmcli'), 0o755);
  const include = ['modem', 'cpu'];
  const { session, values } = begun(t, new SystemBridge(parse({ include }), around));
  await until('the modem', () => 'modem_signal' in values());
  const { time: _, uptime: _u, ...found } = values();
  assert.deepEqual(found, {
    ...{ modem_state: 'connected', modem_signal: 61, modem_operator: 'Telekom.de' },
    ...{ modem_technology: 'lte', modem_rssi: -63, modem_rsrp: -95, modem_rsrq: -11 },
    ...{ modem_snr: 12 },
  });
  await write('mmcli', '#!/bin/sh\nexec sleep 600\n');
  const count = session.messages.length;
  await until('the others go on', () => session.messages.length > count + 10);
});

test('this machine itself is read, with units, by the decoder of the hub', async (t) => {
  const options = systemSpec.options.parse({ interval: '100 ms' });
  const { session } = begun(t, new SystemBridge(options));
  const wanted = ['memory_available', 'uptime', 'disk_root_free_bytes', 'default_route'];
  const published = () => session.published().join();
  await until('all sections', () => wanted.every((metric) => published().includes(metric)));
  const decode = createDecoder(systemSpec.decode(options));
  const readings = session.messages.flatMap(({ topic, payload }) => {
    const decoded = decode({
      ...{ lane: 'normal', offset: 0, kind: 'message', source: 'bridge:pi', bootId: 'b' },
      ...{ topic, payload, receivedMs: Date.now(), timeQuality: 'synced', monotonicMs: 1 },
    });
    assert.equal(decoded.error, undefined);
    return decoded.readings;
  });
  const reading = (metric: string) => readings.find((one) => one.metric === metric);
  assert.equal(reading('memory_available')?.unit, 'B');
  assert.equal(reading('memory_available')?.device, deviceOf(options));
  assert.ok(Number(reading('uptime')?.value) > 0);
  assert.ok(Number(reading('disk_root_free_bytes')?.value) > 0);
  assert.equal(typeof reading('default_route')?.value, 'string');
});

test('the example of the README is valid', async () => {
  const readme = await readFile(join(ROOT, 'firmware-bridge/system/README.md'), 'utf8');
  const example = /```yaml\n(.*?)```/s.exec(readme)?.[1] ?? '';
  assert.deepEqual(problemsOf(`hub: { id: h }\n${example}`), []);
  assert.equal(parsed(`hub: { id: h }\n${example}`).bridges.length, 1);
  assert.match(
    problemsOf(
      'hub: { id: h }\nbridges:\n  - id: a\n    type: system\n' +
        '    disks: [{ name: a, path: / }, { name: a, path: /x }]\n',
    ).join(),
    /`a` is a disk already/,
  );
});
