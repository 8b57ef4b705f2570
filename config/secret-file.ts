import { statSync } from 'node:fs';
import { describeError } from '../hub/core/errors.ts';
import { readAtMost } from './bounded-file.ts';

/** A certificate chain as a secret is 10 KiB. */
const SECRET_BYTES_MAX = 64 * 1024;

/** The secret in `file`, or why there is none, for `{ file: PATH }`. */
export function readSecretFile(
  file: string,
): { readonly ok: true; readonly text: string } | { readonly ok: false; readonly why: string } {
  try {
    // A pipe that nobody writes to would hold up the start for ever.
    if (!statSync(file).isFile())
      return { ok: false, why: 'the secret file is not a regular file' };
    const content = readAtMost(file, SECRET_BYTES_MAX + 1);
    if (content.length > SECRET_BYTES_MAX)
      return { ok: false, why: 'the secret file is larger than 64 KiB' };
    const text = content.toString('utf8').replace(/\r?\n$/, ''); // editors end files with a newline
    return text === '' ? { ok: false, why: 'the secret file is empty' } : { ok: true, text };
  } catch (error) {
    return { ok: false, why: `the secret file cannot be read: ${describeError(error)}` };
  }
}
