import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generate } from 'mqtt-packet';
import { PacketCounter } from '../../bench/counting-subscriber.ts';

const publish = (bytes: number) =>
  generate({
    cmd: 'publish',
    topic: 'site/a',
    payload: Buffer.alloc(bytes, 0x30),
    qos: 0,
    dup: false,
    retain: false,
  });

test('publishes are counted wherever the stream is cut, and nothing else is', () => {
  const stream = Buffer.concat([
    generate({ cmd: 'connack', returnCode: 0, sessionPresent: false }),
    ...[0, 5, 200, 20_000, 1].map(publish),
    generate({ cmd: 'pingresp' }),
    publish(100),
  ]);
  for (const size of [1, 2, 3, 7, 100, 4_096, stream.length]) {
    const counter = new PacketCounter();
    for (let at = 0; at < stream.length; at += size) counter.take(stream.subarray(at, at + size));
    assert.equal(counter.received, 6, `in pieces of ${size}`);
  }
});
