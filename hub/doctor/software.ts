import { release } from 'node:os';
import { join } from 'node:path';
import { describeError } from '../core/errors.ts';
import { readFact } from '../machine/read-fact.ts';
import type { MachineRoots } from '../machine/roots.ts';
import { groupName, type MachineUser } from '../machine/user.ts';
import type { Examination } from './examination.ts';
import { boardModel } from './model.ts';

/** What package.json asks for. */
const NODE_MIN = [20, 19] as const;
/** A word of the tables that say what a process may do. */
const CONTAINER_MARKS = ['.dockerenv', 'run/.containerenv'] as const;

/** What this is: model, architecture, kernel. */
export function machine(roots: MachineRoots): Examination {
  const subject = 'machine';
  return {
    subject,
    async examine() {
      const model = (await boardModel(roots)) ?? 'no Raspberry Pi';
      const detail = `${model}, ${process.arch}, Linux ${release()}`;
      const container = await containerMark(roots);
      if (container === undefined) return [{ severity: 'ok', subject, detail }];
      const remedy =
        'pass devices into it (--device /dev/ttyUSB0, --device /dev/gpiochip0), and mount the data';
      const inside = `${detail}, in a container (${container})`;
      return [{ severity: 'note', subject, detail: inside, remedy }];
    },
  };
}

async function containerMark({ root, run }: MachineRoots): Promise<string | undefined> {
  for (const mark of CONTAINER_MARKS)
    if ((await readFact(root, mark)) !== undefined) return `/${mark}`;
  return await readFact(join(run, 'systemd', 'container'));
}

/** Node.js, and the modules that are compiled for it. */
export function runtime(
  load: () => Promise<unknown>,
  version = process.versions.node,
): Examination {
  const subject = 'node';
  return {
    subject,
    async examine() {
      const [major = 0, minor = 0] = version.split('.').map(Number);
      if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
        const detail = `Node.js ${version} is too old`;
        const remedy = `Node.js ${NODE_MIN.join('.')} or newer: Debian 13 has it, nodejs.org for others`;
        return [{ severity: 'problem', subject, detail, remedy }];
      }
      try {
        await load();
      } catch (error) {
        const detail = `the module of the log does not load: ${describeError(error)}`;
        const remedy = `it is not made for ${process.arch} with Node.js ${version}: run npm ci again`;
        return [{ severity: 'problem', subject, detail, remedy }];
      }
      return [{ severity: 'ok', subject, detail: `Node.js ${version}; native modules load` }];
    },
  };
}

/** Who this is, as far as permissions go. */
export function whoAmI(user: MachineUser, roots: MachineRoots): Examination {
  const subject = 'user';
  return {
    subject,
    async examine() {
      if (user.uid === 0) {
        const detail = 'root may do all: this does not tell what the user of the hub may';
        const remedy = 'sudo -u <user of the hub> holdfast doctor';
        return [{ severity: 'note', subject, detail, remedy }];
      }
      const names = await Promise.all(user.groupIds.map((gid) => groupName(gid, roots)));
      const groups = names.filter((name) => name !== undefined).join(', ') || 'none';
      return [{ severity: 'ok', subject, detail: `${user.name}, groups ${groups}` }];
    },
  };
}
