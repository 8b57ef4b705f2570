/**
 * One I2C bus, through the programs of i2c-tools. Invariants:
 * - one transfer is under way at a time, however many ask;
 * - no address is asked that the configuration does not name, and none that a driver has: the tools
 *   are never told to force;
 * - a transfer that does not end in time is ended with its shell. When the kernel holds it
 *   nevertheless, nothing more is started on this bus until it has let go.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { HubError } from '../../hub/core/errors.ts';
import { Turns } from '../sampling/turns.ts';
import { type Adapter, driverAt, findBus, type Surroundings, takenBy } from './adapter.ts';
import { endGroup, isGroupAlive } from './process-group.ts';
import {
  type Abilities,
  abilitiesLine,
  parseAbilities,
  parseAnswer,
  problemOf,
  type ToolProblem,
  type Transfer,
  transferLine,
  VERSION_LINE,
} from './tool-line.ts';
import { type ToolAnswer, ToolShell } from './tool-shell.ts';

/** After SIGKILL a process that the kernel does not hold is gone within milliseconds. */
const LET_GO_MS = 1_000;
const LET_GO_STEP_MS = 20;

/** Why one device could not be reached; the bus is as it was. */
export class TransferError extends Error {}

/** What outlives a bus that was lost: the process group that the kernel holds, if any. */
export interface HeldGroup {
  group: number | undefined;
}

export interface BusParts {
  readonly wanted: number | string;
  readonly timeoutMs: number;
  readonly around: Surroundings;
  readonly held: HeldGroup;
}

const lostFor = (problem: string, remedy: string): HubError =>
  new HubError('BRIDGE_LOST', `${problem}: ${remedy}`);

export class Bus {
  readonly adapter: Adapter;
  /** Rejects with BRIDGE_LOST when the bus is lost. */
  readonly lost: Promise<never>;
  readonly #parts: BusParts;
  readonly #turns = new Turns();
  #shell: ToolShell;
  #abilities: Abilities = { i2c: true, blockRead: true, blockWrite: true };
  #lose: (error: HubError) => void = () => {};
  #isOpen = true;

  private constructor(adapter: Adapter, shell: ToolShell, parts: BusParts) {
    this.adapter = adapter;
    this.#shell = shell;
    this.#parts = parts;
    this.lost = new Promise((_, reject) => {
      this.#lose = reject;
    });
    this.lost.catch(() => {}); // whoever waits for it hears of it
  }

  /** Throws BRIDGE_LOST, which says what is missing and how to get it. */
  static async open(parts: BusParts): Promise<Bus> {
    const { wanted, around, held } = parts;
    if (held.group !== undefined && (await isGroupAlive(held.group))) throw heldError(wanted);
    held.group = undefined;
    const found = await findBus(wanted, around.roots);
    if (found.is === 'unusable') throw lostFor(found.problem, found.remedy);
    const bus = new Bus(found.adapter, await ToolShell.start(around.env), parts);
    try {
      await bus.#learn();
      return bus;
    } catch (error) {
      await bus.close();
      throw error;
    }
  }

  get name(): string {
    return `i2c-${this.adapter.number}`;
  }

  /**
   * What was read, in the order of the wire. Throws TransferError for a device that does not
   * answer; BRIDGE_LOST when the bus is gone.
   */
  transfer(transfer: Transfer): Promise<Buffer> {
    return this.#turns.take(async () => await this.#transfer(transfer));
  }

  async close(): Promise<void> {
    this.#isOpen = false;
    await this.#stopShell();
  }

  async #transfer(transfer: Transfer): Promise<Buffer> {
    const asked = transferLine(this.adapter.number, transfer, this.#abilities);
    if (!asked.ok) throw new TransferError(`${asked.problem} (${this.adapter.name})`);
    const answer = await this.#ask(asked.line);
    if (answer.code !== 0)
      throw await this.#failure(problemOf(answer.code, answer.lines), transfer.address);
    const bytes = parseAnswer(answer.lines, asked.answer, transfer.read);
    if (bytes === undefined)
      throw new TransferError(`\`${asked.line}\` answered ${answer.lines.join(' ').slice(0, 80)}`);
    return bytes;
  }

  async #learn(): Promise<void> {
    const version = await this.#ask(VERSION_LINE);
    if (version.code !== 0) throw toolsMissing();
    const { code, lines } = await this.#ask(abilitiesLine(this.adapter.number));
    const abilities = parseAbilities(lines);
    if (code === 0 && abilities !== undefined) {
      this.#abilities = abilities;
      return;
    }
    const problem = problemOf(code, lines);
    if (problem.is === 'missing_tool') throw toolsMissing();
    throw lostFor(`${this.name}: ${lines.join(' ')}`, 'see that `i2cdetect -l` lists the bus');
  }

  async #ask(line: string): Promise<ToolAnswer & { is: 'ended' }> {
    if (!this.#isOpen) throw lostFor(this.name, 'it was closed');
    if (this.#shell.isGone) {
      const shell = await ToolShell.start(this.#parts.around.env);
      this.#shell = shell;
      if (!this.#isOpen) await shell.stop(); // closed meanwhile
    }
    const { timeoutMs } = this.#parts;
    const answer = await this.#shell.ask(line, timeoutMs);
    if (answer.is === 'ended') return answer;
    await this.#stopShell();
    if (answer.is === 'gone') throw new TransferError('the program that asks it was ended');
    throw new TransferError(
      `no end of the transfer in ${timeoutMs} ms: a device may hold SDA or SCL low, ` +
        'take its supply away for a moment',
    );
  }

  async #failure(problem: ToolProblem, address: number): Promise<Error> {
    const { around } = this.#parts;
    switch (problem.is) {
      case 'missing_tool':
        return this.#end(toolsMissing());
      case 'no_bus':
      case 'denied': {
        const found = await findBus(this.#parts.wanted, around.roots);
        const why = found.is === 'found' ? problem.detail : found.problem;
        return this.#end(
          lostFor(`${this.name} was lost: ${why}`, 'plug its adapter in, or load its driver'),
        );
      }
      case 'taken': {
        const driver = await driverAt(around.roots, this.adapter.number, address);
        const taken = takenBy(driver, this.adapter.number, address);
        return new TransferError(`${taken.problem}: ${taken.remedy}`);
      }
      case 'no_answer':
        return new TransferError(problem.detail);
    }
  }

  async #stopShell(): Promise<void> {
    const { held } = this.#parts;
    const { group } = this.#shell;
    await this.#shell.stop();
    for (let waited = 0; await isGroupAlive(group); waited += LET_GO_STEP_MS) {
      if (waited >= LET_GO_MS) {
        held.group = group;
        this.#end(heldError(this.#parts.wanted));
        return;
      }
      endGroup(group); // a shell that was just starting a program has not told it
      await delay(LET_GO_STEP_MS);
    }
  }

  #end(error: HubError): HubError {
    this.#isOpen = false;
    this.#lose(error);
    return error;
  }
}

function toolsMissing(): HubError {
  return lostFor(
    'the programs of i2c-tools are not installed (those of BusyBox will not do)',
    '`sudo apt install i2c-tools`',
  );
}

function heldError(wanted: number | string): HubError {
  return lostFor(
    `the kernel holds a transfer on I2C bus ${wanted} and does not let go`,
    'a device may hold SDA or SCL low; take its supply away for a moment, else reboot',
  );
}
