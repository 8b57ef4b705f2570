import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { examineLine } from '../../firmware-bridge/modbus/examine.ts';
import { examineSerial } from '../../firmware-bridge/serial/examine.ts';
import { serialPortFindings } from '../../hub/machine/serial-port.ts';
import { afterTest } from '../support/after-test.ts';
import { freePort } from '../support/free-port.ts';
import {
  IN_GROUP,
  layOut,
  PI_4,
  PI_USER,
  place,
  processTree,
  type Tree,
} from '../support/pi-tree.ts';

const { signal } = new AbortController();

/** What is said of `dev/<name>` of a machine; paths begin at its root. */
async function findings(t: TestContext, tree: Tree, name: string, user = IN_GROUP) {
  const roots = await layOut(t, tree);
  const found = await serialPortFindings(`${roots.dev}/${name}`, 'port', signal, roots, user);
  return found.map(({ severity, detail, remedy }) => {
    return { severity, detail: detail.replaceAll(roots.root, ''), remedy };
  });
}

const PLUGGED: Tree = {
  ...PI_4,
  'dev/ttyUSB0': { mode: 0o660 },
  'sys/class/tty/ttyUSB0/dev': '188:0\n',
};

describe('a serial port', () => {
  it('is fine', async (t) => {
    assert.deepEqual(await findings(t, PLUGGED, 'serial0'), [
      {
        severity: 'ok',
        detail: '/dev/serial0 (ttyS0) is there and may be opened',
        remedy: undefined,
      },
    ]);
  });

  it('belongs to a group that this user is not in', async (t) => {
    const [found] = await findings(t, PLUGGED, 'ttyUSB0', PI_USER);
    assert.equal(found?.severity, 'problem');
    assert.match(found.detail, /^\/dev\/ttyUSB0: pi may not open it.* group dialout$/);
    assert.match(found.remedy ?? '', /^sudo usermod -aG dialout pi, then log in again/);
  });

  it('of the header is switched off', async (t) => {
    const [found] = await findings(t, PI_4, 'serial1');
    assert.equal(found?.severity, 'problem');
    assert.match(found.remedy ?? '', /raspi-config nonint do_serial_hw 0/);
  });

  it('is not plugged in, and others are', async (t) => {
    const id = 'usb-Arduino_Uno-if00';
    const tree = { ...PLUGGED, [`dev/serial/by-id/${id}`]: { link: 'dev/ttyUSB0' } };
    const [found] = await findings(t, tree, 'ttyUSB7');
    assert.equal(found?.severity, 'problem');
    assert.match(found.remedy ?? '', new RegExp(`there are: .*by-id/${id}`));
  });

  it('was taken away by the driver of braille displays', async (t) => {
    const tree = { ...PI_4, ...processTree(431, 'brltty', '/usr/bin/brltty') };
    const [found] = await findings(t, tree, 'ttyUSB0');
    assert.match(found?.detail ?? '', /brltty \(pid 431, user root\) takes adapters/);
    assert.match(found?.remedy ?? '', /apt-get remove brltty/);
  });
});

describe('a serial port that somebody else has', () => {
  const thieves = [
    ['ModemManager', '/usr/sbin/ModemManager', /disable --now ModemManager/],
    ['agetty', '/sbin/agetty -o -p -- 115200', /disable --now serial-getty@ttyUSB0/],
    ['minicom', 'minicom -D /dev/ttyUSB0', /sudo kill 500/],
  ] as const;
  for (const [name, command, remedy] of thieves)
    it(`is read by ${name}`, async (t) => {
      const roots = await layOut(t, PLUGGED);
      const link = `${roots.dev}/ttyUSB0`;
      const tree = processTree(500, name, command);
      for (const [path, entry] of Object.entries(tree)) await place(roots.root, path, entry);
      await place(roots.root, 'proc/500/fd/9', { link: 'dev/ttyUSB0' });
      const found = await serialPortFindings(link, 'port', signal, roots, IN_GROUP);
      const problem = found.find(({ severity }) => severity === 'problem');
      assert.match(
        problem?.detail ?? '',
        new RegExp(`is used by ${name} \\(pid 500, user root\\)`),
      );
      assert.match(problem?.remedy ?? '', remedy);
    });

  it('may be disturbed by ModemManager when it is plugged in', async (t) => {
    const tree = { ...PLUGGED, ...processTree(431, 'ModemManager', '/usr/sbin/ModemManager') };
    const [found] = await findings(t, tree, 'ttyUSB0');
    assert.equal(found?.severity, 'note');
    assert.match(found.detail, /may send AT commands/);
  });

  it('is open in the running hub', async (t) => {
    const roots = await layOut(t, PLUGGED);
    const hub = processTree(600, 'node', '/usr/bin/node /opt/holdfast/dist/hub/main.js run -c x');
    for (const [path, entry] of Object.entries(hub)) await place(roots.root, path, entry);
    await place(roots.root, 'proc/600/fd/9', { link: 'dev/ttyUSB0' });
    const path = `${roots.dev}/ttyUSB0`;
    const found = await serialPortFindings(path, 'port', signal, roots, IN_GROUP);
    assert.deepEqual(
      found.map(({ severity }) => severity),
      ['ok'],
    );
    assert.match(found[0]?.detail ?? '', /running hub, pid 600/);
  });

  it('is the console of the kernel', async (t) => {
    const console = { ...PI_4, 'proc/cmdline': 'console=ttyS0,115200 console=tty1 rootwait' };
    const kept = { ...console, 'boot/firmware/cmdline.txt': 'console=serial0,115200 console=tty1' };
    const [now] = await findings(t, kept, 'serial0');
    assert.equal(now?.severity, 'problem');
    assert.match(now.remedy ?? '', /do_serial_cons 1, then reboot/);
    const [changed] = await findings(t, console, 'serial0');
    assert.match(changed?.remedy ?? '', /^reboot: /);
  });
});

describe('the name of a serial port', () => {
  it('changes with the order of plugging in', async (t) => {
    const stable = 'dev/serial/by-id/usb-1a86_USB_Serial-if00-port0';
    const tree = { ...PLUGGED, [stable]: { link: 'dev/ttyUSB0' } };
    const [found] = await findings(t, tree, 'ttyUSB0');
    assert.equal(found?.severity, 'note');
    assert.match(found.remedy ?? '', /^port: .*usb-1a86_USB_Serial-if00-port0$/);
    assert.equal((await findings(t, tree, stable.slice(4)))[0]?.severity, 'ok');
  });

  it('is found by what USB says', async (t) => {
    const roots = await layOut(t, {
      ...PLUGGED,
      'sys/devices/usb1/1-1/idVendor': '0403\n',
      'sys/devices/usb1/1-1/idProduct': '6001\n',
      'sys/devices/usb1/1-1/1-1:1.0/ttyUSB0/port_number': '0\n',
      'sys/class/tty/ttyUSB0/device': { link: 'sys/devices/usb1/1-1/1-1:1.0/ttyUSB0' },
    });
    const [found] = await examineSerial({ usb: { vendor_id: '0403' } }, signal, roots);
    assert.match(found?.detail ?? '', /ttyUSB0/);
    const [absent] = await examineSerial({ usb: { vendor_id: '10c4' } }, signal, roots);
    assert.equal(absent?.severity, 'problem');
    assert.match(absent.detail, /no USB port 10c4:\* is plugged in.*ttyUSB0 is 0403:6001/);
  });
});

describe('a Modbus line', () => {
  it('over TCP is tried, and not when there is a connection already', async (t) => {
    let connections = 0;
    const server = createServer((socket) => {
      connections++;
      socket.on('error', () => {});
      socket.resume();
    });
    const port = await freePort();
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    afterTest(t, () => server.close());
    const transport = { type: 'tcp', host: '127.0.0.1', port } as const;
    const [found] = await examineLine(transport, signal);
    assert.equal(found?.severity, 'ok');
    assert.match(found.detail, /takes connections/);
    assert.equal(connections, 1);
    const hex = port.toString(16).toUpperCase().padStart(4, '0');
    const roots = await layOut(t, {
      ...PI_4,
      'proc/net/tcp': `  0: 0100007F:C001 0100007F:${hex} 01 0:0 0:0 0 1000 0 1 1\n`,
    });
    const [again] = await examineLine(transport, signal, roots);
    assert.match(again?.detail ?? '', /is connected already/);
    assert.equal(connections, 1);
  });

  it('says what to do when nobody listens', async () => {
    const port = await freePort();
    const [found] = await examineLine({ type: 'tcp', host: '127.0.0.1', port }, signal);
    assert.equal(found?.severity, 'problem');
    assert.match(found.detail, /ECONNREFUSED/);
    assert.match(found.remedy ?? '', /Modbus TCP is enabled/);
  });
});
