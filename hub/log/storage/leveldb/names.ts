/** The names of LevelDB's files. */

/**
 * A file of ours among them: how many times the log was opened since it was last found sound, or
 * closed in peace. Its absence means zero.
 */
export const UNCHECKED_NAME = 'UNCHECKED';

export type StoreFile =
  | { readonly kind: 'table' | 'log' | 'manifest' | 'temporary'; readonly number: number }
  | { readonly kind: 'current' | 'lock' | 'info' };

const NUMBERED = /^(?:(MANIFEST)-(\d{1,15})|(\d{1,15})\.(ldb|sst|log|dbtmp))$/;

/** Undefined when LevelDB would not look at it. */
export function parseName(name: string): StoreFile | undefined {
  if (name === 'CURRENT') return { kind: 'current' };
  if (name === 'LOCK') return { kind: 'lock' };
  if (name === 'LOG' || name === 'LOG.old') return { kind: 'info' };
  const match = NUMBERED.exec(name);
  if (!match) return undefined;
  const [, manifest, ofManifest, ofFile, extension] = match;
  if (manifest !== undefined) return { kind: 'manifest', number: Number(ofManifest) };
  const number = Number(ofFile);
  if (extension === 'log') return { kind: 'log', number };
  return { kind: extension === 'dbtmp' ? 'temporary' : 'table', number };
}

const padded = (number: number): string => String(number).padStart(6, '0');

export const tableName = (number: number): string => `${padded(number)}.ldb`;
export const logName = (number: number): string => `${padded(number)}.log`;
export const manifestName = (number: number): string => `MANIFEST-${padded(number)}`;
/** LevelDB removes files of this name that it did not make itself. */
export const temporaryName = (number: number): string => `${padded(number)}.dbtmp`;
