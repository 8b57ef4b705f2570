import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * A loopback port that nobody held a moment ago, for a program that cannot choose one itself.
 * Another process may take it meanwhile: whoever can must try again.
 */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no TCP port');
  return address.port;
}
