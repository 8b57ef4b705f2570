/**
 * Who may import what. The longest `of` that a file lies in counts; `*` is one folder, `*.ts` one
 * file. A layer may always import itself. `types` may only be imported with `import type`.
 * CONTRIBUTING.md points here.
 */
export interface Layer {
  readonly of: string;
  readonly may: readonly string[];
  readonly types?: readonly string[];
  readonly why: string;
}

const EVERYTHING = [''];

export const LAYERS: readonly Layer[] = [
  { of: 'hub/core', may: [], why: 'the words depend on nothing of ours' },
  { of: 'hub/log', may: ['hub/core'], why: 'the log knows no reader and no writer' },
  {
    of: 'hub/intake',
    may: ['hub/core', 'hub/log/keys.ts', 'hub/log/record.ts'],
    types: ['hub/log', 'config/schema.ts'],
    why: 'intake is given its log; it shares the key layout, for what rides in one batch with events',
  },
  {
    of: 'hub/process',
    may: ['hub/core'],
    types: ['hub/log', 'config/schema.ts'],
    why: 'processing reads events, it does not know who keeps them',
  },
  {
    of: 'hub/forward',
    may: [
      'hub/core',
      'hub/log/keys.ts',
      'hub/log/cursor-state.ts',
      'hub/log/give-up.ts',
      'hub/log/record.ts',
    ],
    types: ['hub/log', 'config/schema.ts'],
    why: 'the forwarder drives any sink from any log; dead letters ride in one batch with the cursor',
  },
  {
    of: 'hub/commands',
    may: ['hub/core', 'hub/log/keys.ts', 'hub/log/record.ts'],
    types: ['hub/log'],
    why: 'commands go to bridges and the broker that the composition root gives them',
  },
  {
    of: 'hub/api',
    may: ['hub/core'],
    types: ['config/schema.ts'],
    why: 'the API shows what the composition root gives it',
  },
  {
    of: 'hub/cli',
    may: ['hub/core', 'config', 'hub/log/inspection'],
    why: 'a command validates and talks to the API; the offline commands read the log themselves',
  },
  {
    of: 'hub/observe',
    may: ['hub/core'],
    why: 'everybody is observed, so it observes nobody by name',
  },
  {
    of: 'hub/cli/run.ts',
    may: ['hub/core', 'hub/cli', 'config', 'hub/hub.ts'],
    why: 'the one command that is the hub itself',
  },
  {
    of: 'hub/machine',
    may: ['hub/core'],
    why: 'what a machine shows of itself, for whoever asks',
  },
  {
    of: 'hub/clock',
    may: ['hub/core', 'hub/machine'],
    why: 'the clocks of a machine know nobody who looks at them',
  },
  {
    of: 'hub/doctor',
    may: ['hub/core', 'hub/machine'],
    why: 'a doctor looks at a machine; the composition root says what the configuration names',
  },
  { of: 'hub/*.ts', may: EVERYTHING, why: 'the composition root and the entry' },
  {
    of: 'firmware-bridge/*',
    may: ['hub/core', 'hub/machine', 'config/fields.ts'],
    why: 'a bridge speaks its protocol; the intake runs it',
  },
  {
    of: 'firmware-bridge/serial',
    may: [
      'hub/core',
      'hub/machine',
      'config/fields.ts',
      'firmware-bridge/format',
      'firmware-bridge/link',
      'firmware-bridge/port',
    ],
    why: 'Holdfast Link is spoken on a port; the protocol itself knows no port',
  },
  {
    of: 'firmware-bridge/modbus',
    may: [
      'hub/core',
      'hub/machine',
      'config/fields.ts',
      'firmware-bridge/register',
      'firmware-bridge/sampling',
      'firmware-bridge/port',
    ],
    why: 'it reads at intervals, and has a serial port of the same library and its troubles',
  },
  {
    of: 'firmware-bridge/link',
    may: ['hub/core'],
    types: ['firmware-bridge/serial/session.ts'],
    why: 'the protocol is bytes and times; the port that it is spoken on is given',
  },
  {
    of: 'firmware-bridge/port',
    may: ['hub/core', 'hub/machine'],
    why: 'a serial port is found, opened and lost the same way, whatever is spoken on it',
  },
  {
    of: 'firmware-bridge/child',
    may: ['hub/core', 'hub/machine'],
    why: 'a program that runs beside the hub and ends with it; it knows nobody who starts one',
  },
  {
    of: 'firmware-bridge/format',
    may: ['hub/core', 'hub/machine'],
    why: 'a frame or a line is read the same way, wherever it comes from',
  },
  {
    of: 'firmware-bridge/sampling',
    may: ['hub/core', 'hub/machine', 'config/fields.ts'],
    why: 'reading at intervals is the same for every sensor that has no events of its own',
  },
  {
    of: 'firmware-bridge/register',
    may: ['hub/core', 'hub/machine', 'config/fields.ts'],
    why: 'bytes of a device become values the same way, however they come here',
  },
  ...['gpio', 'one_wire', 'iio', 'hwmon', 'i2c', 'system'].map((kind) => ({
    of: `firmware-bridge/${kind}`,
    may: [
      'hub/core',
      'hub/machine',
      'config/fields.ts',
      'firmware-bridge/sampling',
      'firmware-bridge/child',
      'firmware-bridge/register',
    ],
    why: 'values are read at intervals, and some things of a system are reached by a program of it',
  })),
  {
    of: 'firmware-bridge/exec',
    may: [
      'hub/core',
      'hub/machine',
      'config/fields.ts',
      'firmware-bridge/child',
      'firmware-bridge/format',
    ],
    why: 'the lines of a program are frames; the program itself is run for it',
  },
  {
    of: 'firmware-bridge/plugin',
    may: ['hub/core', 'hub/machine', 'config/fields.ts', 'firmware-bridge/child'],
    why: 'a plugin runs in a process of its own, which is a program like any other',
  },
  {
    of: 'firmware-bridge/registry.ts',
    may: ['hub/core', 'firmware-bridge'],
    why: 'the list of all bridges',
  },
  {
    of: 'sinks/*',
    may: ['hub/core', 'config/fields.ts'],
    why: 'a sink speaks its protocol; the forwarder drives it',
  },
  { of: 'sinks/registry.ts', may: ['hub/core', 'sinks'], why: 'the list of all sinks' },
  {
    of: 'config',
    may: ['hub/core', 'sinks/registry.ts', 'firmware-bridge/registry.ts'],
    why: 'the schema is made from the specs',
  },
  {
    of: 'console',
    may: [],
    types: ['hub/core/status.ts'],
    why: 'the page talks to the API and shares only its shapes',
  },
  {
    of: 'grafana-dashboards',
    may: ['hub/observe/metrics-table.ts'],
    why: 'dashboards are made from the table of metrics',
  },
  {
    of: 'bench',
    may: ['tests/support'],
    why: 'a benchmark meets the hub from outside, as a process',
  },
  { of: 'scripts', may: EVERYTHING, why: 'tools of the repository; nothing imports them' },
  { of: 'tests', may: EVERYTHING, why: 'tests look at everything' },
];

/** Packages that only one part may import, so that replacing one is a change in one place. */
export const PACKAGE_OWNERS: Readonly<Record<string, readonly string[]>> = {
  aedes: ['hub/intake/broker'],
  'aedes-persistence': ['hub/intake/broker'],
  aws4fetch: ['hub/core/aws-signature.ts'],
  'classic-level': ['hub/log'],
  commander: ['hub/cli', 'hub/main.ts'],
  fastify: ['hub/api'],
  level: ['hub/log', 'bench/one-by-one.ts'],
  'prom-client': ['hub/observe'],
  yaml: ['config'],
};
