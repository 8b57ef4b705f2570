import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { Route, type RouteSystem } from '../../hub/forward/governor/route.ts';

/** A machine of which a test moves the route. */
function machine() {
  const state = { nowMs: 0, local: '10.0.0.2', dns: 0, routes: 0, resolves: true };
  const system: RouteSystem = {
    async addressOf() {
      state.dns++;
      if (!state.resolves) throw new Error('ENOTFOUND');
      return '192.0.2.1';
    },
    async localAddressFor() {
      state.routes++;
      if (state.local === '') throw new Error('ENETUNREACH');
      return state.local;
    },
    interfaceWith: (address) => ({ '10.0.0.2': 'eth0', '10.64.0.9': 'wwan0' })[address],
  };
  const changes: (string | undefined)[] = [];
  const route = new Route({
    host: 'example.org',
    monotonicMs: () => state.nowMs,
    system,
  });
  route.changed = (name) => changes.push(name);
  return { state, route, changes };
}

test('a change of the route is found within seconds, and told', async () => {
  const { state, route, changes } = machine();
  assert.equal(route.networkInterface, undefined);
  await route.look();
  assert.equal(route.networkInterface, 'eth0');
  state.local = '10.64.0.9';
  state.nowMs += 4_000;
  assert.equal(route.networkInterface, 'eth0', 'cached');
  const { routes } = state;
  assert.equal(routes, 1);
  state.nowMs += 2_000;
  assert.equal(route.networkInterface, 'eth0', 'asked in the background');
  await route.look();
  assert.equal(route.networkInterface, 'wwan0');
  assert.deepEqual(changes, ['eth0', 'wwan0']);
  assert.equal(state.dns, 1, 'the address costs bytes: it is kept');
});

test('without a route nothing is known; after a failure the address is asked for again', async () => {
  const { state, route, changes } = machine();
  await route.look();
  state.local = '';
  state.resolves = false;
  route.failed();
  await route.look();
  assert.equal(route.networkInterface, undefined);
  assert.equal(state.dns, 2);
  state.local = '10.64.0.9';
  route.failed();
  await route.look();
  assert.equal(route.networkInterface, 'wwan0', 'by the address of before, as DNS is gone');
  assert.deepEqual(changes, ['eth0', undefined, 'wwan0']);
});

test('a name server that hangs is not waited for', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { state } = machine();
  const route = new Route({
    host: 'example.org',
    monotonicMs: () => state.nowMs,
    system: {
      addressOf: () => new Promise(() => {}),
      localAddressFor: async () => '10.0.0.2',
      interfaceWith: () => 'eth0',
    },
  });
  const looked = route.look();
  t.mock.timers.tick(3_001);
  await looked;
  assert.equal(route.networkInterface, undefined);
});

test('the system of this machine finds the way to itself without sending', async () => {
  const loopback = Object.entries(networkInterfaces()).find(([, addresses]) =>
    addresses?.some(({ address }) => address === '127.0.0.1'),
  );
  for (const host of ['127.0.0.1', 'localhost']) {
    const route = new Route({ host, monotonicMs: () => 0 });
    await route.look();
    assert.equal(route.networkInterface, loopback?.[0]);
  }
});
