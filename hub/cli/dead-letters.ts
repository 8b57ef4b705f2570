import { setTimeout as delay } from 'node:timers/promises';
import type { Environment } from '../../config/environment.ts';
import { ERRORS, HubError } from '../core/errors.ts';
import { printable } from '../core/printable.ts';
import type {
  DeadLetterDetail,
  DeadLetterDiscard,
  DeadLetterPage,
  DeadLetterRetry,
  DeadLetterSummary,
} from '../core/status.ts';
import { type HubAddressOptions, type HubClient, hubClient } from './hub-client.ts';
import { Progress } from './replay.ts';

/** What every one of the commands takes. */
export interface DeadLettersOptions extends HubAddressOptions {
  readonly sink: string;
  readonly json: boolean;
}

export interface ListOptions extends DeadLettersOptions {
  readonly limit: string;
  readonly after?: string;
  readonly oldest: boolean;
}

export interface ShowOptions extends DeadLettersOptions {
  readonly number: string;
}

/** Either numbers or all. */
export interface ChoiceOptions extends DeadLettersOptions {
  readonly number?: readonly string[];
  readonly all: boolean;
}

export interface RetryOptions extends ChoiceOptions {
  /** Stay until all have been sent. */
  readonly wait: boolean;
}

export interface DiscardOptions extends ChoiceOptions {
  /** Do not ask. */
  readonly yes: boolean;
}

export interface DeadLettersIo {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
  readonly env: Environment;
  /** Asks whoever sits there, and answers what was typed; undefined when nobody does. */
  readonly ask?: ((question: string) => Promise<string>) | undefined;
}

const POLL_MS = 300;
/** As `replay --wait`: a hub that restarts is back in seconds, a Pi boots in a minute. */
const UNREACHABLE_MS_MAX = 300_000;
/** A query with so many numbers fits into what the API reads of a request's first line. */
const NUMBERS_AT_ONCE = 500;
/** Of what strangers wrote, as much as a line or two of a terminal. */
const SHOWN_CHARS = 200;

/** `holdfast dead-letters list`. Errors, also of the others: USAGE, SERVICE_UNAVAILABLE. */
export async function listCommand(options: ListOptions, io: DeadLettersIo): Promise<number> {
  const query = new URLSearchParams({
    limit: options.limit,
    order: options.oldest ? 'oldest' : 'newest',
    ...(options.after === undefined ? {} : { after: options.after }),
  });
  const client = hubClient(options, io.env);
  const page = await client.ask<DeadLetterPage>('GET', `${pathOf(options)}?${query}`);
  if (options.json) io.stdout.write(`${JSON.stringify(page)}\n`);
  else io.stdout.write(`${pageText(page)}\n`);
  return 0;
}

/** `holdfast dead-letters show`: one letter, with all of its payload. */
export async function showCommand(options: ShowOptions, io: DeadLettersIo): Promise<number> {
  const [number] = numbersOf([options.number]);
  const client = hubClient(options, io.env);
  const letter = await client.ask<DeadLetterDetail>('GET', `${pathOf(options)}/${number}`);
  io.stdout.write(`${options.json ? JSON.stringify(letter) : detailText(letter)}\n`);
  return 0;
}

/** `holdfast dead-letters retry`: 0; with `--wait` 69 when some of them are still refused. */
export async function retryCommand(options: RetryOptions, io: DeadLettersIo): Promise<number> {
  const choice = choiceOf(options);
  const client = hubClient(options, io.env);
  const body = choice === 'all' ? { all: true } : { numbers: choice };
  const asked = await client.ask<DeadLetterRetry>('POST', pathOf(options), body);
  if (!options.wait) {
    const text = `${lettersText(asked.retried)} of sink ${asked.sink} will be sent again`;
    io.stdout.write(`${options.json ? JSON.stringify(asked) : text}\n`);
    return 0;
  }
  const page = await allSent(client, asked, options, io);
  const taken = page.retries.taken - asked.retries.taken;
  const refused = page.retries.refused - asked.retries.refused;
  const result = { sink: page.sink, taken, refused, left: page.total };
  if (options.json) io.stdout.write(`${JSON.stringify(result)}\n`);
  else io.stdout.write(`${resultText(result)}\n`);
  return refused > 0 ? ERRORS.SERVICE_UNAVAILABLE.exitCode : 0;
}

/** `holdfast dead-letters discard`: gives them up for good. */
export async function discardCommand(options: DiscardOptions, io: DeadLettersIo): Promise<number> {
  const choice = choiceOf(options);
  const client = hubClient(options, io.env);
  const path = pathOf(options);
  if (choice === 'all' && !options.yes && !(await isSure(client, options, io))) return 0;
  const parts = choice === 'all' ? ['all=true'] : slicesOf(choice).map(queryOf);
  let [discarded, underWay] = [0, 0];
  let left = 0;
  for (const part of parts) {
    const done = await client.ask<DeadLetterDiscard>('DELETE', `${path}?${part}`);
    discarded += done.discarded;
    underWay += done.underWay;
    left = done.left;
  }
  const result = { sink: options.sink, discarded, underWay, left };
  io.stdout.write(`${options.json ? JSON.stringify(result) : discardText(result)}\n`);
  return underWay > 0 ? ERRORS.SERVICE_UNAVAILABLE.exitCode : 0;
}

function pathOf({ sink }: DeadLettersOptions): string {
  return `sinks/${encodeURIComponent(sink)}/dead-letters`;
}

function choiceOf({ number, all }: ChoiceOptions): readonly number[] | 'all' {
  if (all && number) throw new HubError('USAGE', 'give --number or --all, not both');
  if (all) return 'all';
  if (!number || number.length === 0) throw new HubError('USAGE', 'give --number or --all');
  return numbersOf(number);
}

function numbersOf(texts: readonly string[]): number[] {
  return texts.map((text) => {
    if (/^\d{1,15}$/.test(text)) return Number(text);
    throw new HubError('USAGE', `--number ${text.slice(0, 64)} is no number of a dead letter`);
  });
}

function slicesOf(numbers: readonly number[]): (readonly number[])[] {
  const count = Math.ceil(numbers.length / NUMBERS_AT_ONCE);
  return Array.from({ length: count }, (_, index) =>
    numbers.slice(index * NUMBERS_AT_ONCE, (index + 1) * NUMBERS_AT_ONCE),
  );
}

function queryOf(numbers: readonly number[]): string {
  return numbers.map((number) => `number=${number}`).join('&');
}

async function isSure(
  client: HubClient,
  options: DiscardOptions,
  io: DeadLettersIo,
): Promise<boolean> {
  const page = await client.ask<DeadLetterPage>('GET', `${pathOf(options)}?limit=1`);
  const what = `${lettersText(page.total)} of sink ${page.sink}`;
  if (!io.ask) {
    throw new HubError('USAGE', `${what} would be lost for good: add --yes to discard them all`);
  }
  const answer = await io.ask(`Discard ${what} for good? [y/N] `);
  if (/^y(es)?$/i.test(answer.trim())) return true;
  io.stderr.write('nothing was discarded\n');
  return false;
}

/** Follows the letters until none of the sink's waits any more. */
async function allSent(
  client: HubClient,
  asked: DeadLetterRetry,
  options: RetryOptions,
  io: DeadLettersIo,
): Promise<DeadLetterPage> {
  const progress = new Progress(options.json ? undefined : io.stderr);
  let heardMs = performance.now();
  for (;;) {
    try {
      const page = await client.ask<DeadLetterPage>('GET', `${pathOf(options)}?limit=1`);
      heardMs = performance.now();
      if (page.retries.sinceMs !== asked.retries.sinceMs) throw forgotten(page);
      if (page.retries.waiting === 0) {
        progress.end();
        return page;
      }
      progress.show(`${lettersText(page.retries.waiting)} wait for the far side`);
    } catch (error) {
      const waits = error instanceof HubError && error.code === 'SERVICE_UNAVAILABLE';
      if (!waits || performance.now() - heardMs > UNREACHABLE_MS_MAX) throw error;
      progress.show('the hub does not answer');
    }
    await delay(POLL_MS);
  }
}

function forgotten({ sink, total }: DeadLetterPage): HubError {
  const text = `the hub was restarted, which ends a retry: sink ${sink} has ${lettersText(total)}`;
  return new HubError('USAGE', `${text}; retry those that are left again`);
}

const isoTime = (ms: number) => new Date(ms).toISOString();
const shown = (text: string) => printable(text, SHOWN_CHARS);

function lettersText(count: number): string {
  return `${count.toLocaleString('en')} ${count === 1 ? 'dead letter' : 'dead letters'}`;
}

function pageText({ sink, total, letters, next }: DeadLetterPage): string {
  if (total === 0) return `sink ${sink} has no dead letters`;
  const some = letters.length < total ? `, of them ${letters.length}` : '';
  const more = next === null ? '' : `\nmore of them: --after ${next}`;
  return `${lettersText(total)} of sink ${sink}${some}:\n${letters.map(lineOf).join('\n')}${more}`;
}

function lineOf(letter: DeadLetterSummary): string {
  const { number, topic, reason, rejectedMs, attempts, retrying, excerpt } = letter;
  const tries = `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`;
  const waits = retrying ? ', waits to be sent again' : '';
  return [
    `${String(number).padStart(6)}  ${isoTime(rejectedMs)}  ${shown(topic)}  (${tries}${waits})`,
    `        ${shown(reason)}`,
    `        ${shown(excerpt)}`,
  ].join('\n');
}

function detailText(letter: DeadLetterDetail): string {
  const { payload, retriedMs, response } = letter;
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['number', String(letter.number)],
    ['event', letter.eventId],
    ['kind', letter.kind],
    ['topic', shown(letter.topic)],
    ['source', letter.source],
    ['received', `${isoTime(letter.receivedMs)} (${letter.timeQuality})`],
    ['refused', isoTime(letter.rejectedMs)],
    ['sent again', retriedMs === null ? undefined : isoTime(retriedMs)],
    ['attempts', `${letter.attempts}${letter.retrying ? ', waits to be sent again' : ''}`],
    ['reason', shown(letter.reason)],
    ['response', response === null ? undefined : printable(response, response.length)],
    ['payload', `${letter.payloadBytes} bytes of ${Object.keys(payload).join()}`],
  ];
  const head = rows.flatMap(([name, text]) =>
    text === undefined ? [] : [`${`${name}:`.padEnd(12)} ${text}`],
  );
  return [...head, payloadLines(payload)].join('\n');
}

function payloadLines(payload: DeadLetterDetail['payload']): string {
  if ('json' in payload) return JSON.stringify(payload.json, undefined, 2);
  if ('base64' in payload) return payload.base64;
  return printable(payload.text, payload.text.length);
}

interface RetryResult {
  readonly sink: string;
  readonly taken: number;
  readonly refused: number;
  readonly left: number;
}

function resultText({ sink, taken, refused, left }: RetryResult): string {
  const again = refused > 0 ? `, ${refused.toLocaleString('en')} refused again` : '';
  return `${taken.toLocaleString('en')} taken${again}; sink ${sink} has ${lettersText(left)}`;
}

function discardText({ sink, discarded, underWay, left }: DeadLetterDiscard): string {
  const busy = underWay > 0 ? `, ${underWay} left alone: they are being sent` : '';
  return `${lettersText(discarded)} discarded${busy}; sink ${sink} has ${lettersText(left)}`;
}
