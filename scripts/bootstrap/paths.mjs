import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of package.json. Steps run in it, wherever npm was called from. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** An absolute path from names below the root. */
export const inRoot = (...names) => join(ROOT, ...names);
