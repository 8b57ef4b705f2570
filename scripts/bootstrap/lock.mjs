import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { say } from './step.mjs';

const POLL_MS = 200;
/** The holder writes its name right after making the file; an older empty file has no holder. */
const EMPTY_POLLS_MAX = 25;

/**
 * Names a running process: pids are used again, so its start time (field 22 of stat) belongs to it.
 */
function nameOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    return aliveWithoutProc(pid) ? `${pid} -` : undefined;
  }
}

/** Where there is no /proc (macOS) a pid is all we know. */
function aliveWithoutProc(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

const isAlive = (holder) => holder !== '' && nameOf(Number(holder.split(' ')[0])) === holder;

/**
 * Runs `work` while no other process of this clone installs or builds. A lock whose holder is gone
 * is taken over. The file is removed however this process ends, except by SIGKILL.
 */
export async function withLock(file, work) {
  mkdirSync(dirname(file), { recursive: true });
  await acquire(file);
  const release = () => rmSync(file, { force: true });
  process.once('exit', release);
  try {
    return await work();
  } finally {
    process.off('exit', release);
    release();
  }
}

async function acquire(file) {
  let announced = false;
  for (let emptyPolls = 0; !tryCreate(file); ) {
    const holder = readHolder(file);
    emptyPolls = holder === '' ? emptyPolls + 1 : 0;
    if (holder === undefined) continue; // released just now
    if (holder === '' ? emptyPolls > EMPTY_POLLS_MAX : !isAlive(holder)) {
      takeAway(file, holder);
      continue;
    }
    if (!announced) say(`waiting for process ${holder.split(' ')[0]}, which is building here too`);
    announced = true;
    await delay(POLL_MS);
  }
}

function tryCreate(file) {
  try {
    writeFileSync(file, nameOf(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function readHolder(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Renaming is atomic: of two that take a stale lock away only one has it. A live one is put back.
 */
function takeAway(file, staleHolder) {
  const mine = `${file}.${process.pid}`;
  try {
    renameSync(file, mine);
    if (readFileSync(mine, 'utf8') !== staleHolder) linkSync(mine, file);
  } catch (error) {
    if (error.code !== 'ENOENT' && error.code !== 'EEXIST') throw error;
  } finally {
    rmSync(mine, { force: true });
  }
}
