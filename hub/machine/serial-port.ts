/**
 * What is wrong with a serial port that is there, without opening it: opening resets an Arduino and
 * takes characters from whoever reads it.
 */
import { realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Finding } from '../core/finding.ts';
import { deviceAccess } from './device-access.ts';
import {
  isHub,
  type ProcessFacts,
  processFacts,
  processIds,
  processText,
  whoHasOpen,
  whoseTerminal,
} from './processes.ts';
import { namesIn, readFact } from './read-fact.ts';
import { MACHINE, type MachineRoots } from './roots.ts';
import { type MachineUser, thisUser } from './user.ts';

/** Group of serial ports in Debian. */
const GROUP = 'dialout';
/** Ports of the Pi's own header, which have to be switched on. */
const HEADER_PORT = /(^|\/)(serial[01]|tty(AMA|S)\d+)$/;
/** Adapters and boards that are plugged in. */
const PLUGGED_PORT = /^tty(USB|ACM)\d+$/;

/** `subject` is what the findings are about: `serial pico`. */
export async function serialPortFindings(
  path: string,
  subject: string,
  signal: AbortSignal,
  roots: MachineRoots = MACHINE,
  asUser?: MachineUser,
): Promise<readonly Finding[]> {
  const user = asUser ?? (await thisUser(roots));
  const real = await realpath(path).catch(() => path);
  const access = await deviceAccess(path, GROUP, user, roots);
  if (access.kind === 'absent') return [await absentFinding(path, subject, roots)];
  const findings: Finding[] = [];
  if (access.kind === 'denied') {
    const { detail, remedy } = access;
    findings.push({ severity: 'problem', subject, detail: `${path}: ${detail}`, remedy });
  }
  findings.push(...(await holderFindings(real, path, subject, signal, roots)));
  findings.push(...(await consoleFindings(real, subject, roots)));
  const isHeld = findings.some(({ severity }) => severity === 'problem');
  if (!isHeld) findings.push(...(await proberFindings(real, subject, roots)));
  const isSound = findings.every(({ severity }) => severity === 'ok' || severity === 'note');
  const unstable = await unstableName(path, real, subject, roots);
  if (unstable) findings.push(unstable);
  else if (isSound && findings.length === 0) {
    const also = real === path ? '' : ` (${basename(real)})`;
    findings.push({ severity: 'ok', subject, detail: `${path}${also} is there and may be opened` });
  }
  return findings;
}

/** What to do about a port that is not there, by its name. */
export async function absentFinding(
  path: string,
  subject: string,
  roots: MachineRoots = MACHINE,
): Promise<Finding> {
  const byId = join(roots.dev, 'serial', 'by-id');
  const others = (await namesIn(byId)).slice(0, 8).map((name) => join(byId, name));
  const detail = `there is no port ${path}`;
  if (HEADER_PORT.test(path)) {
    const remedy =
      'switch the port of the header on: sudo raspi-config nonint do_serial_hw 0 && ' +
      'sudo raspi-config nonint do_serial_cons 1 (enable_uart=1 in config.txt), then reboot';
    return { severity: 'problem', subject, detail, remedy };
  }
  const taker = (await runningByName(/^brltty$/, roots))[0];
  if (taker) {
    const what = `${detail}, and ${processText(taker)} takes adapters with a CH340 or CP210x away`;
    return { severity: 'problem', subject, detail: what, remedy: remedyFor(taker, path) };
  }
  const there = others.length > 0 ? `there are: ${others.join(', ')}` : 'no port is plugged in';
  const remedy = `plug it in (\`sudo dmesg | tail\` shows what the kernel sees), or correct \`port\`; ${there}`;
  return { severity: 'problem', subject, detail, remedy };
}

async function holderFindings(
  real: string,
  path: string,
  subject: string,
  signal: AbortSignal,
  roots: MachineRoots,
): Promise<Finding[]> {
  const rdev = await stat(real).then(
    (facts) => facts.rdev,
    () => 0,
  );
  const pids = new Set([
    ...(await whoHasOpen((link) => link === real, signal, roots)),
    ...(await whoseTerminal(rdev, roots)),
  ]);
  pids.delete(process.pid); // of somebody who runs this on that very terminal
  const findings: Finding[] = [];
  for (const pid of pids) {
    const holder = await processFacts(pid, roots);
    if (!holder) continue;
    const who = processText(holder);
    if (isHub(holder)) {
      const detail = `${path} is open in the running hub, pid ${pid}`;
      findings.push({ severity: 'ok', subject, detail });
    } else {
      const detail = `${path} is used by ${who}: two readers each get half of the bytes`;
      const remedy = remedyFor(holder, real);
      findings.push({ severity: 'problem', subject, detail, remedy });
    }
  }
  return findings;
}

/** How to get rid of a program that is known to take ports, and of any other. */
function remedyFor({ name, pid }: ProcessFacts, path: string): string {
  if (name === 'ModemManager') return 'sudo systemctl disable --now ModemManager';
  if (name === 'brltty') return 'sudo apt-get remove brltty (a driver for braille displays)';
  if (name === 'gpsd') return 'sudo systemctl disable --now gpsd.socket gpsd';
  if (name === 'hciattach' || name === 'btattach')
    return 'dtoverlay=disable-bt in config.txt and reboot: Bluetooth has the port of the header';
  if (/getty$|^login$|^(ba|da|z)?sh$/.test(name))
    return (
      `sudo systemctl disable --now serial-getty@${basename(path)} && ` +
      'sudo raspi-config nonint do_serial_cons 1, then reboot: a login prompt is on the port'
    );
  return `stop it: sudo kill ${pid}, or \`systemctl status ${pid}\` names its service`;
}

/** The kernel's console on the port: what it prints goes to the device, and it answers to it. */
async function consoleFindings(
  real: string,
  subject: string,
  roots: MachineRoots,
): Promise<Finding[]> {
  const now = await consolesIn(join(roots.proc, 'cmdline'), roots);
  const next = await consolesIn(join(roots.boot, 'cmdline.txt'), roots);
  if (!now.has(real) && !next.has(real)) return [];
  const isOver = next.size > 0 && !next.has(real);
  const detail = `the kernel uses ${real} as its console: its messages go to the device`;
  const remedy = isOver
    ? 'reboot: cmdline.txt does not name it any more'
    : 'sudo raspi-config nonint do_serial_cons 1, then reboot (console=serial0,115200 in cmdline.txt)';
  return [{ severity: 'problem', subject, detail, remedy }];
}

async function consolesIn(file: string, { dev }: MachineRoots): Promise<ReadonlySet<string>> {
  const names = ((await readFact(file)) ?? '').matchAll(/(?:^|\s)console=([A-Za-z0-9]+)/g);
  const found = new Set<string>();
  for (const [, name = ''] of names) {
    const path = join(dev, name);
    found.add(await realpath(path).catch(() => path));
  }
  return found;
}

/** ModemManager asks every new port whether it is a modem, before the hub has it. */
async function proberFindings(
  real: string,
  subject: string,
  roots: MachineRoots,
): Promise<Finding[]> {
  if (!PLUGGED_PORT.test(basename(real))) return [];
  const [prober] = await runningByName(/^ModemManager$/, roots);
  if (!prober) return [];
  const detail = `${processText(prober)} may send AT commands to ports when they are plugged in`;
  const remedy = `without a modem: ${remedyFor(prober, real)}`;
  return [{ severity: 'note', subject, detail, remedy }];
}

async function runningByName(name: RegExp, roots: MachineRoots): Promise<ProcessFacts[]> {
  const found: ProcessFacts[] = [];
  for (const pid of await processIds(roots)) {
    if (!name.test((await readFact(roots.proc, String(pid), 'comm')) ?? '')) continue;
    const facts = await processFacts(pid, roots);
    if (facts) found.push(facts);
  }
  return found;
}

/** `/dev/ttyUSB0` is whatever was plugged in first. */
async function unstableName(
  path: string,
  real: string,
  subject: string,
  roots: MachineRoots,
): Promise<Finding | undefined> {
  if (path !== real || !PLUGGED_PORT.test(basename(path))) return undefined;
  const folder = join(roots.dev, 'serial', 'by-id');
  for (const name of await namesIn(folder)) {
    const stable = join(folder, name);
    if ((await realpath(stable).catch(() => '')) !== real) continue;
    const detail = `${path} gets another number when ports are plugged in in another order`;
    return { severity: 'note', subject, detail, remedy: `port: ${stable}` };
  }
  return undefined;
}
