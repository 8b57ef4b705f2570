import { randomBytes } from 'node:crypto';
import { HubError } from '../core/errors.ts';
import { FORMAT_VERSION } from './block-format.ts';
import { metaKey } from './keys.ts';
import { openRecord, sealRecord } from './record.ts';
import type { Storage } from './storage.ts';

interface Identity {
  readonly id: string;
  readonly format: number;
}

/**
 * The id of the log; a new log gets one. It is made durable before anything is acknowledged: a new
 * LevelDB that was never synced may not open again. Errors: LOG_NOT_OPEN for an unknown format.
 */
export async function loadIdentity(storage: Storage): Promise<string> {
  const key = metaKey('identity');
  const identity = openRecord<Identity>(await storage.get(key));
  if (!identity) {
    const id = randomBytes(5).toString('hex');
    const value = sealRecord({ id, format: FORMAT_VERSION });
    await storage.write([{ type: 'put', key, value }], { sync: true });
    return id;
  }
  if (identity.format !== FORMAT_VERSION) {
    throw new HubError(
      'LOG_NOT_OPEN',
      `the log has format ${identity.format}, this hub reads and writes ${FORMAT_VERSION}`,
    );
  }
  return identity.id;
}
