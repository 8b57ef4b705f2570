import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClockState } from '../../hub/core/clock.ts';
import type { Finding } from '../../hub/core/finding.ts';
import { disk, type VolumeSize } from '../../hub/doctor/disk.ts';
import { type Examination, runExaminations } from '../../hub/doctor/examination.ts';
import { fileLimit } from '../../hub/doctor/file-limit.ts';
import { devices } from '../../hub/doctor/hardware.ts';
import { memory } from '../../hub/doctor/memory.ts';
import { port } from '../../hub/doctor/ports.ts';
import { power } from '../../hub/doctor/power.ts';
import type { RunningHub } from '../../hub/doctor/running-hub.ts';
import { machine, runtime } from '../../hub/doctor/software.ts';
import { temperature } from '../../hub/doctor/temperature.ts';
import { time } from '../../hub/doctor/time.ts';
import { parseThrottled } from '../../hub/machine/throttled.ts';
import {
  DEVICE_GID,
  IN_GROUP,
  layOut,
  PI_4,
  PI_5,
  PI_USER,
  processTree,
  type Tree,
} from '../support/pi-tree.ts';

const GIB = 1024 ** 3;
const NOTHING: Tree = {};
/** Programs that are asked on a Pi are not here. */
const NO_PROGRAM = 'holdfast-no-such-program';

async function look(examination: Examination): Promise<readonly Finding[]> {
  return await examination.examine(new AbortController().signal);
}

function assertFinding(findings: readonly Finding[], severity: string, detail: RegExp) {
  const found = findings.find((finding) => detail.test(finding.detail));
  assert.ok(found, `${detail} is not in ${JSON.stringify(findings, null, 1)}`);
  assert.equal(found.severity, severity);
  if (severity === 'problem' || severity === 'warning') assert.ok(found.remedy);
  return found;
}

describe('power', () => {
  const throttled = (bits: string): Tree => {
    return { ...PI_4, 'sys/devices/platform/soc/soc:firmware/get_throttled': `${bits}\n` };
  };
  const cases: readonly (readonly [string, Tree, string, RegExp])[] = [
    ['fine', PI_4, 'ok', /no under-voltage/],
    ['under-voltage now', throttled('50005'), 'problem', /under-voltage now/],
    ['under-voltage before', throttled('50000'), 'warning', /under-voltage since the start/],
    ['hot now', throttled('e0008'), 'warning', /is slowed down by its temperature/],
    ['hot before', throttled('80000'), 'note', /has been slowed down/],
    ['a Pi 5', PI_5, 'ok', /no under-voltage/],
    [
      'a weak supply of a Pi 5',
      { ...PI_5, 'proc/device-tree/chosen/power/max_current': Buffer.from([0, 0, 0x0b, 0xb8]) },
      'note',
      /promises 3 A of 5 A: USB devices get 600 mA/,
    ],
    [
      'the alarm of another kernel',
      {
        'sys/class/hwmon/hwmon1/name': 'rpi_volt\n',
        'sys/class/hwmon/hwmon1/in0_lcrit_alarm': '1\n',
      },
      'problem',
      /under-voltage now/,
    ],
    ['no Pi', NOTHING, 'unknown', /nothing here/],
  ];
  for (const [name, tree, severity, detail] of cases)
    it(name, async (t) => {
      const roots = await layOut(t, tree);
      assertFinding(await look(power(roots, NO_PROGRAM)), severity, detail);
    });

  it('reads what vcgencmd prints, and no nonsense', () => {
    assert.equal(parseThrottled('throttled=0x50005')?.now.underVoltage, true);
    assert.equal(parseThrottled('throttled=0x50000')?.now.underVoltage, false);
    assert.equal(parseThrottled('VCHI initialization failed'), undefined);
    assert.equal(parseThrottled(''), undefined);
  });
});

describe('temperature', () => {
  const cases = [
    ['48199', 'ok'],
    ['74000', 'note'],
    ['82000', 'warning'],
  ] as const;
  for (const [value, severity] of cases)
    it(`${value} is ${severity}`, async (t) => {
      const roots = await layOut(t, { ...PI_4, 'sys/class/thermal/thermal_zone0/temp': value });
      assertFinding(await look(temperature(roots)), severity, / °C/);
    });
});

describe('clock', () => {
  const NOW_MS = Date.UTC(2026, 10, 21);
  async function clock(t: TestContext, tree: Tree, state: ClockState, nowMs = NOW_MS) {
    const roots = await layOut(t, tree);
    const sync = async () => ({ state, source: 'chrony' });
    return await look(time({ roots, sync, nowMs: () => nowMs, builtMs: Date.UTC(2026, 5, 1) }));
  }

  it('is fine when somebody keeps it', async (t) => {
    assertFinding(await clock(t, PI_4, 'synced'), 'ok', /by chrony; there is no battery clock/);
  });
  it('warns when nobody has set it', async (t) => {
    assertFinding(await clock(t, PI_4, 'unsynced'), 'warning', /not synchronised.*no battery/);
  });
  it('cannot be told in a container', async (t) => {
    assertFinding(await clock(t, NOTHING, 'unknown'), 'unknown', /nothing tells/);
  });
  it('is wrong before the hub was made', async (t) => {
    const found = await clock(t, PI_4, 'unsynced', Date.UTC(2024, 6, 4));
    assert.match(assertFinding(found, 'problem', /2024-07-04/).remedy ?? '', /TLS/);
  });
  it('knows an empty battery', async (t) => {
    const tree = { ...PI_5, 'sys/class/rtc/rtc0/since_epoch': '86400\n' };
    assertFinding(await clock(t, tree, 'synced'), 'warning', /rpi-rtc has lost the time/);
  });
});

describe('memory', () => {
  const gone = async () => false;
  it('a Pi with 1 GB is enough', async (t) => {
    assertFinding(await look(memory(await layOut(t, PI_4), gone)), 'ok', /609\.5 MiB of 926/);
  });
  it('knows the limit of a group above', async (t) => {
    const roots = await layOut(t, {
      ...PI_4,
      'sys/fs/cgroup/user.slice/memory.max': '104857600\n',
      'sys/fs/cgroup/memory.max': 'max\n',
    });
    assertFinding(await look(memory(roots, gone)), 'warning', /limited to 100 MiB/);
  });
  it('what a running hub has is not missing', async (t) => {
    const meminfo = 'MemTotal: 948280 kB\nMemAvailable: 90000 kB\n';
    const roots = await layOut(t, { ...PI_4, 'proc/meminfo': meminfo });
    assertFinding(await look(memory(roots, gone)), 'warning', /are available/);
    assertFinding(await look(memory(roots, async () => true)), 'ok', /are available/);
  });
});

const mounted = (line: string): Tree => ({ ...PI_4, 'proc/self/mountinfo': `${line}\n` });

const DISK_FAULTS: readonly (readonly [string, Tree, string, RegExp])[] = [
  ['FAT', mounted('1 0 8:1 / / rw - vfat /dev/sda1 rw'), 'warning', /is vfat: a power cut/],
  ['NFS', mounted('1 0 0:50 / / rw - nfs4 nas:/x rw'), 'warning', /is nfs4: without the network/],
  ['memory', mounted('1 0 0:50 / / rw - tmpfs tmpfs rw'), 'problem', /is tmpfs, in memory/],
  ['container', mounted('1 0 0:50 / / rw - overlay overlay rw'), 'warning', /of a container/],
  [
    'the overlay of Raspberry Pi OS',
    {
      ...mounted('1 0 0:50 / / rw - overlay overlay rw'),
      'proc/cmdline': 'boot=overlay console=tty1',
    },
    'problem',
    /overlay of Raspberry Pi OS is on/,
  ],
  ['read-only', mounted('1 0 179:2 / / ro - ext4 /dev/mmcblk0p2 ro'), 'problem', /read-only/],
  [
    'errors of ext4',
    { ...PI_4, 'sys/fs/ext4/mmcblk0p2/errors_count': '3\n' },
    'warning',
    /met 3 errors on mmcblk0p2/,
  ],
  [
    'a worn eMMC',
    {
      ...PI_4,
      'sys/devices/platform/emmc2bus/fe340000.mmc/block/mmcblk0/device/life_time': '0x02 0x0a\n',
    },
    'warning',
    /mmcblk0 has used 90 to 100 % of its life/,
  ],
  [
    'an eMMC without spare blocks',
    {
      ...PI_4,
      'sys/devices/platform/emmc2bus/fe340000.mmc/block/mmcblk0/device/pre_eol_info': '0x03\n',
    },
    'problem',
    /90 % of its spare blocks/,
  ],
  [
    'swap on the card',
    { ...PI_4, 'proc/swaps': 'Filename Type Size\n/var/swap file 102396 0 -2\n' },
    'note',
    /\/var\/swap is swap on the card/,
  ],
];

describe('disk', () => {
  async function diskOf(t: TestContext, tree: Tree, freeBytes = 20 * GIB, more = {}) {
    const roots = await layOut(t, tree);
    const size: VolumeSize = {
      bsize: 4096,
      blocks: (32 * GIB) / 4096,
      bavail: freeBytes / 4096,
      files: 1_900_000,
      ffree: 1_700_000,
      ...more,
    };
    const limits = { bytesMax: 2 * GIB, freeBytesMin: GIB / 4 };
    const dataDir = '/var/lib/holdfast-not-there';
    return await look(disk({ dataDir, ...limits, roots, measure: async () => size }));
  }
  it('a healthy card has one finding', async (t) => {
    assert.deepEqual(await diskOf(t, PI_4), [
      { severity: 'ok', subject: 'disk', detail: '20 GiB of 32 GiB are free: the log fits' },
    ]);
  });
  it('says what of the log fits', async (t) => {
    const found = assertFinding(await diskOf(t, PI_4, GIB), 'warning', /full at 768 MiB of 2 GiB/);
    assert.match(found.remedy ?? '', /log\.capacity\.bytes_max to 768 MiB/);
  });
  it('counts what has to stay free', async (t) => {
    assertFinding(await diskOf(t, PI_4, 2.125 * GIB), 'warning', /full at 1\.9 GiB of 2 GiB/);
    assertFinding(await diskOf(t, PI_4, 2.25 * GIB), 'ok', /the log fits/);
  });
  it('knows a full card', async (t) => {
    assertFinding(await diskOf(t, PI_4, GIB / 8), 'problem', /counts as full below 256 MiB/);
  });
  it('knows inodes that are used up', async (t) => {
    assertFinding(await diskOf(t, PI_4, 20 * GIB, { ffree: 12 }), 'warning', /12 of 1900000/);
  });

  for (const [name, tree, severity, detail] of DISK_FAULTS)
    it(name, async (t) => void assertFinding(await diskOf(t, tree), severity, detail));

  it('zram is no swap on the card', async (t) => {
    const tree = { ...PI_4, 'proc/swaps': 'Filename Type Size\n/dev/zram0 partition 1 0 100\n' };
    assert.equal((await diskOf(t, tree)).length, 1);
  });
});

describe('ports', () => {
  const LISTENING =
    '   0: 0100007F:075B 00000000:0000 0A 00000000:00000000 00:00000000 00000000   105        0 ' +
    '12345 1 0000000000000000 100 0 0 10 0\n';
  const LISTENING_6 = LISTENING.replace('0100007F', '00000000000000000000000000000000').replace(
    ' 00000000:0000 0A',
    ' 00000000000000000000000000000000:0000 0A',
  );
  const head = '  sl  local_address rem_address   st\n';
  const WANTED = { key: 'mqtt.listeners', host: '127.0.0.1', port: 1883 };
  const gone: RunningHub = async () => undefined;
  const HUB = {
    pid: 77,
    name: 'node',
    command: 'node hub/main.js run',
    uid: 105,
    user: 'holdfast',
  };

  async function portOf(t: TestContext, tree: Tree, wanted = WANTED, hub = gone, user = PI_USER) {
    const roots = await layOut(t, tree);
    return await look(port(wanted, { roots, user, hub, addresses: () => ['192.168.1.20'] }));
  }
  const taken = { ...PI_4, 'proc/net/tcp': head + LISTENING };
  const mosquitto = processTree(812, 'mosquitto', '/usr/sbin/mosquitto -c x', {
    uid: 105,
    open: ['socket:[12345]'],
  });

  it('is free', async (t) => {
    assertFinding(await portOf(t, PI_4), 'ok', /127\.0\.0\.1:1883 is free for mqtt\.listeners/);
    const other = { ...WANTED, port: 1884 };
    assertFinding(await portOf(t, taken, other), 'ok', /is free/);
  });
  it('names who has it', async (t) => {
    const found = await portOf(t, { ...taken, ...mosquitto });
    const { remedy } = assertFinding(found, 'problem', /mosquitto \(pid 812, user uid 105\)/);
    assert.match(remedy ?? '', /systemctl disable --now mosquitto, or .* in mqtt\.listeners/);
  });
  it('knows at least the user when the process is hidden', async (t) => {
    const tree = { ...taken, 'etc/passwd': 'mosquitto:x:105:113::/var/lib/mosquitto:/bin/false\n' };
    const found = assertFinding(
      await portOf(t, tree),
      'problem',
      /a process of the user mosquitto/,
    );
    assert.match(found.remedy ?? '', /disable --now mosquitto/);
  });
  it('a listener on all addresses of IPv6 is in the way too', async (t) => {
    const tree = { ...PI_4, 'proc/net/tcp6': head + LISTENING_6 };
    assertFinding(await portOf(t, tree), 'problem', /listens on :::1883/);
  });
  it('the running hub is not in the way', async (t) => {
    assertFinding(await portOf(t, taken, WANTED, async () => HUB), 'ok', /running hub .* pid 77/);
    const ours = { ...HUB, uid: 9 };
    assertFinding(await portOf(t, taken, WANTED, async () => ours), 'problem', /listens on/);
  });
  it('knows ports that only root may have', async (t) => {
    const wanted = { ...WANTED, key: 'http', port: 80 };
    assertFinding(await portOf(t, PI_4, wanted), 'problem', /only root may listen/);
    const may = { ...PI_4, 'proc/self/status': 'CapEff:\t0000000000000400\n' };
    assertFinding(await portOf(t, may, wanted), 'ok', /is free/);
    const low = { ...PI_4, 'proc/sys/net/ipv4/ip_unprivileged_port_start': '80\n' };
    assertFinding(await portOf(t, low, wanted), 'ok', /is free/);
  });
  it('knows an address of another machine', async (t) => {
    const wanted = { ...WANTED, host: '192.168.1.77' };
    assertFinding(await portOf(t, PI_4, wanted), 'problem', /no address of this machine: 192/);
    assertFinding(await portOf(t, PI_4, { ...WANTED, host: '192.168.1.20' }), 'ok', /free/);
  });
  it('cannot tell without /proc', async (t) => {
    assertFinding(await portOf(t, NOTHING), 'unknown', /nothing here tells/);
  });
});

describe('what is plugged in', () => {
  it('lists ports by their stable names', async (t) => {
    const roots = await layOut(t, {
      ...PI_4,
      'dev/ttyUSB0': { mode: 0o660 },
      'dev/serial/by-id/usb-FTDI_FT232R_A50285BI-if00-port0': { link: 'dev/ttyUSB0' },
      'sys/class/tty/ttyUSB0/dev': '188:0\n',
    });
    const found = await look(devices('serial', roots, IN_GROUP));
    const { detail } = assertFinding(found, 'ok', /A50285BI-if00-port0 \(ttyUSB0\); pi may open/);
    assert.match(detail, /ttyAMA0, .*ttyS0/);
    assert.doesNotMatch(detail, /ttyS1/);
  });
  it('says which group is missing', async (t) => {
    const roots = await layOut(t, PI_4);
    const found = assertFinding(
      await look(devices('serial', roots, PI_USER)),
      'note',
      /pi may not open it: it belongs to the group dialout/,
    );
    assert.match(found.remedy ?? '', /sudo usermod -aG dialout pi, then log in again/);
  });
  it('says when somebody has to log in again', async (t) => {
    const roots = await layOut(t, { ...PI_4, 'etc/group': `dialout:x:${DEVICE_GID}:alice,pi\n` });
    const [found] = await look(devices('serial', roots, PI_USER));
    assert.match(found?.remedy ?? '', /pi is in dialout already.*log in again/);
  });
  it('knows GPIO chips by their label', async (t) => {
    const roots = await layOut(t, PI_4);
    assertFinding(await look(devices('gpio', roots, IN_GROUP)), 'ok', /\(pinctrl-bcm2711\)/);
  });
});

describe('software', () => {
  it('knows the model, and a container', async (t) => {
    const roots = await layOut(t, PI_5);
    assertFinding(await look(machine(roots)), 'ok', /^Raspberry Pi 5 Model B Rev 1\.0, /);
    const inside = await layOut(t, { '.dockerenv': '' });
    assertFinding(await look(machine(inside)), 'note', /in a container/);
  });
  it('knows a Node.js that is too old, and modules for another one', async () => {
    const loads = async () => undefined;
    assertFinding(await look(runtime(loads, '20.20.2')), 'ok', /native modules load/);
    assertFinding(await look(runtime(loads, '24.1.0')), 'ok', /native modules load/);
    assertFinding(await look(runtime(loads, '20.18.1')), 'problem', /too old/);
    const fails = async () => {
      throw new Error('No native build was found for platform=linux arch=arm');
    };
    assertFinding(await look(runtime(fails)), 'problem', /No native build/);
  });
  it('compares the limit of open files with the clients', async (t) => {
    const limits = 'Max open files            1024                 1024                 files\n';
    const roots = await layOut(t, { 'proc/self/limits': limits });
    assertFinding(await look(fileLimit(roots, 1000)), 'warning', /1024 may be open/);
    assertFinding(await look(fileLimit(roots, 500)), 'ok', /1024 may be open/);
  });
});

describe('examinations', () => {
  it('one that fails or hangs does not keep the others', async () => {
    const hanging: Examination = {
      subject: 'nfs',
      examine: async (signal) => {
        await delay(60_000, undefined, { signal });
        return [];
      },
    };
    const failing: Examination = {
      subject: 'odd',
      examine: async () => {
        throw Object.assign(new Error('Input/output error'), { code: 'EIO' });
      },
    };
    const fine: Examination = {
      subject: 'fine',
      examine: async () => [{ severity: 'ok', subject: 'fine', detail: 'is' }],
    };
    assert.deepEqual(await runExaminations([hanging, failing, fine], 50), [
      { severity: 'unknown', subject: 'nfs', detail: 'no answer within 0.05 s' },
      { severity: 'unknown', subject: 'odd', detail: 'Input/output error (EIO)' },
      { severity: 'ok', subject: 'fine', detail: 'is' },
    ]);
  });
  it('shows the worst of many', async () => {
    const finding = (index: number): Finding => {
      return { severity: index === 90 ? 'problem' : 'ok', subject: 'x', detail: `${index}` };
    };
    const many = Array.from({ length: 100 }, (_, index) => finding(index));
    const found = await runExaminations([{ subject: 'x', examine: async () => many }]);
    assert.equal(found.length, 25);
    assert.equal(found[0]?.severity, 'problem');
    assert.match(found.at(-1)?.detail ?? '', /76 more/);
  });
});
