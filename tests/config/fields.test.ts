import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { z } from 'zod';
import { asId, bytes, duration, host, id, port, startPosition } from '../../config/fields.ts';

const accepts = (schema: z.ZodType, values: readonly unknown[]) => {
  for (const value of values) assert.equal(schema.safeParse(value).success, true, String(value));
};
const refuses = (schema: z.ZodType, values: readonly unknown[]) => {
  for (const value of values) assert.equal(schema.safeParse(value).success, false, String(value));
};

describe('field types of the configuration', () => {
  it('sizes', () => {
    assert.equal(bytes().parse('10 MiB'), 10 * 1024 ** 2);
    assert.equal(bytes().parse('1.5KiB'), 1536);
    assert.equal(bytes().parse('2 GB'), 2e9);
    assert.equal(bytes().parse('0 B'), 0);
    refuses(bytes(), [
      10,
      '10',
      '10 mib',
      '-1 B',
      '1  B',
      '',
      'B',
      '1 MiBs',
      '1e3 B',
      '99999999999 TiB',
    ]);
    const bounded = bytes({ min: '1 KiB', max: '1 MiB' });
    accepts(bounded, ['1 KiB', '1024 B', '1 MiB']);
    refuses(bounded, ['1023 B', '1.001 MiB']);
  });

  it('where a sink begins', () => {
    const start = startPosition();
    assert.equal(start.parse('oldest'), 'oldest');
    assert.equal(start.parse('now'), 'now');
    assert.equal(start.parse('2026-03-01T12:00:00Z'), Date.UTC(2026, 2, 1, 12));
    assert.equal(start.parse('2026-03-01 12:00+02:00'), Date.UTC(2026, 2, 1, 10));
    refuses(start, [
      '2026-03-01T12:00:00',
      '2026-03-01',
      '2026-03-01T25:00:00Z',
      'yesterday',
      'Now',
      '-1h',
      1_700_000_000_000,
      '',
      null,
    ]);
    const [issue] = start.safeParse('2026-03-01T12:00:00').error?.issues ?? [];
    assert.match(issue?.message ?? '', /with its zone: `2026-03-01T12:00:00Z`/);
  });

  it('durations', () => {
    assert.equal(duration().parse('500 ms'), 500);
    assert.equal(duration().parse('1.5 h'), 5_400_000);
    assert.equal(duration().parse('5 min'), 300_000);
    assert.equal(duration().parse('7d'), 604_800_000);
    refuses(duration(), [5, '5', '5 m', '5 sec', '-5 s', '']);
    const bounded = duration({ min: '1 s', max: '1 h' });
    accepts(bounded, ['1 s', '60 min']);
    refuses(bounded, ['999 ms', '61 min']);
  });

  it('ids, hosts and ports', () => {
    accepts(id(), ['a', 'gateway-01', 'A_b', '0']);
    refuses(id(), ['', 'a b', 'a.b', 'a/b', 'ä', 'x'.repeat(65)]);
    accepts(host(), ['localhost', '127.0.0.1', '::1', 'fe80::1%eth0', 'pi.local']);
    refuses(host(), ['', 'http://x', 'a b', 'x:/']);
    accepts(port(), [0, 1, 65_535]);
    refuses(port(), [-1, 65_536, 1.5, '80']);
    assert.equal(asId('pi.local'), 'pi-local');
    accepts(id(), [asId('x.'.repeat(100))]);
  });
});
