import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../../config/find-file.ts';

/** The frames of docs/link.md by name, with the delimiter behind them. */
export async function linkVectors(): Promise<ReadonlyMap<string, Buffer>> {
  const page = await readFile(join(packageRoot(), 'docs', 'link.md'), 'utf8');
  const lines = page.matchAll(/^([A-Z]+) +((?:[0-9a-f]{2} ?)+)$/gm);
  return new Map(
    [...lines].map(([, name = '', hex = '']) => [
      name,
      Buffer.from(hex.replaceAll(' ', ''), 'hex'),
    ]),
  );
}
