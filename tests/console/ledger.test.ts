import assert from 'node:assert/strict';
import { test } from 'node:test';
import { incoming, ledgerOf, outgoing, sourcesOf } from '../../console/src/ledger.ts';
import type { Status } from '../../hub/core/status.ts';
import { siteStatus } from '../support/console-fixture-data.ts';
import { assertLedger, ledgerProblems } from '../support/ledger.ts';

const NOW_MS = 1_700_000_000_000;
const STATUS = siteStatus(NOW_MS, NOW_MS + 60_000, 1);

const texts = (status: Status) =>
  ledgerOf(status).map(({ id, events, terms, difference }) => {
    const sum = terms.map((term) => `${term.events} ${term.name}`).join(' + ');
    return `${id}: ${events} = ${sum}${difference === 0 ? '' : ` (off by ${difference})`}`;
  });

test('the ledger: every event is received once, and somewhere', () => {
  assert.deepEqual(texts(STATUS), [
    'received: 18299700 = 18299700 in the log',
    'cloud: 18299700 = 18088020 delivered + 211680 queued',
    'grafana: 18299700 = 17956697 delivered + 343000 queued + 3 dead letters',
    `archive: 18299700 = ${texts(STATUS)[3]?.split(' = ')[1]}`,
  ]);
  assert.match(texts(STATUS)[3] ?? '', /= \d+ delivered \+ \d+ queued$/);
  assert.deepEqual(
    sourcesOf(STATUS.log).map(({ name }) => name),
    ['mqtt', 'demo', 'hub'],
  );
  assertLedger(STATUS);
});

/** The site, with something changed in its books. */
function changed(change: (status: Status) => Status): Status {
  return change(STATUS);
}

test('the ledger: says what does not add up', () => {
  const lostOne = changed(({ sinks, ...rest }) => ({
    ...rest,
    sinks: sinks.map((sink) => ({
      ...sink,
      lanes: sink.lanes.map((lane) =>
        lane.lane === 'normal' ? { ...lane, delivered: lane.delivered - 1 } : lane,
      ),
    })),
  }));
  for (const sink of lostOne.sinks) assert.equal(outgoing(sink, lostOne.log).difference, 1);
  assert.equal(ledgerProblems(lostOne).length, 3);
  assert.match(ledgerProblems(lostOne)[0] ?? '', /^cloud, normal: settled \d+, of it/);

  const received = (more: number) =>
    changed(({ log, ...rest }) => ({
      ...rest,
      log: { ...log, received: [...log.received, { source: 'x', lane: 'bulk', events: more }] },
    }));
  assert.equal(incoming(received(-2).log).difference, -2);
  assert.deepEqual(ledgerProblems(received(-2)), [
    'bulk: 88398 received, 88400 in the log + 0 refused',
  ]);
  // what is being written has been received already
  assert.equal(incoming(received(7).log).difference, 0);
  assert.deepEqual(incoming(received(7).log).terms[1], { name: 'being written', events: 7 });
});

test('the ledger: losses are named by reason', () => {
  const [cloud] = STATUS.sinks;
  assert.ok(cloud);
  const lanes = cloud.lanes.map((lane) => ({
    ...lane,
    delivered: lane.delivered - 3,
    lost: { full: 1, corrupt: 2 },
  }));
  const { terms, difference } = outgoing({ ...cloud, lanes }, STATUS.log);
  assert.equal(difference, 0);
  assert.deepEqual(
    terms.slice(2).map(({ name, events }) => `${events} ${name}`),
    ['3 lost: full', '6 lost: corrupt'],
  );
});

test('the ledger: what was refused is received, and in the books of no sink', () => {
  const refused = changed(({ log, ...rest }) => ({
    ...rest,
    log: {
      ...log,
      received: [...log.received, { source: 'mqtt', lane: 'normal', events: 5 }],
      lost: [{ lane: 'normal', reason: 'full', events: 5 }],
      lanes: log.lanes.map((lane) => (lane.lane === 'normal' ? { ...lane, refused: 5 } : lane)),
    },
  }));
  assert.deepEqual(incoming(refused.log).terms.at(-1), {
    name: 'refused: full',
    events: 5,
    tone: 'bad',
  });
  assertLedger(refused);
});
