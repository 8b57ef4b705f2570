import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import { freePort } from '../tests/support/free-port.ts';
import { type Server, startServer } from './process.ts';

/** A running broker and where to reach it. */
export interface Broker {
  readonly server: Server;
  readonly mqttPort: number;
}

export interface Hub extends Broker {
  /** Base of the API, without a slash at its end. */
  readonly url: string;
}

const MAIN = join(import.meta.dirname, '..', 'hub', 'main.js');

/** Sections of the configuration in YAML flow style. */
export interface HubSections {
  /** With none the log alone is measured. */
  readonly sinks?: string;
  readonly log?: string;
}

/** Starts a hub on what is in `folder`, which may be a hub's that has stopped. */
export async function startHub(folder: string, sections: HubSections = {}): Promise<Hub> {
  const [mqttPort, httpPort] = [await freePort(), await freePort()];
  const configFile = join(folder, 'holdfast.yaml');
  const config = [
    `hub: { id: bench, data_dir: ${JSON.stringify(join(folder, 'data'))} }`,
    'mqtt:',
    '  anonymous: true',
    `  listeners: [{ type: tcp, host: 127.0.0.1, port: ${mqttPort} }]`,
    'decode: [{ topic: "site/{area}/{device}/{metric}", format: json }]',
    `log: ${sections.log ?? '{}'}`,
    `sinks: ${sections.sinks ?? '[]'}`,
    `http: { host: 127.0.0.1, port: ${httpPort} }`,
  ];
  mkdirSync(folder, { recursive: true });
  writeFileSync(configFile, `${config.join('\n')}\n`);
  const url = `http://127.0.0.1:${httpPort}`;
  const args = [MAIN, 'run', '--config', configFile];
  const server = await startServer(process.execPath, args, join(folder, 'hub.log'), async () => {
    try {
      return (await fetch(`${url}/ready`)).status === 200;
    } catch {
      return false; // not listening yet
    }
  });
  return { server, mqttPort, url };
}

/**
 * Where Mosquitto is, or undefined. Debian puts it where the PATH of a plain user does not look.
 */
export function findMosquitto(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, 'mosquitto')).find((file) => existsSync(file));
}

export interface MosquittoOptions {
  /** Default: loopback. */
  readonly host?: string;
  /** Default: one that is free. */
  readonly port?: number;
  /** Further lines of its configuration. */
  readonly more?: readonly string[];
}

/**
 * Mosquitto as the fair peer: it persists, and neither queue limits nor Nagle slow it down. Starts
 * on what is in `folder`.
 */
export async function startMosquitto(
  program: string,
  folder: string,
  { host = '127.0.0.1', port, more = [] }: MosquittoOptions = {},
): Promise<Broker> {
  const mqttPort = port ?? (await freePort());
  const configFile = join(folder, 'mosquitto.conf');
  const config = [
    `listener ${mqttPort} ${host}`,
    'allow_anonymous true',
    'persistence true',
    `persistence_location ${folder}/`,
    'max_inflight_messages 0',
    'max_queued_messages 0',
    'set_tcp_nodelay true',
    ...(process.getuid?.() === 0 ? ['user root'] : []), // else it could not write to the folder
    ...more,
  ];
  mkdirSync(folder, { recursive: true });
  writeFileSync(configFile, `${config.join('\n')}\n`);
  const args = ['-c', configFile];
  const server = await startServer(program, args, join(folder, 'mosquitto.log'), () =>
    accepts(host, mqttPort),
  );
  return { server, mqttPort };
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}
