import { describeError } from '../../core/errors.ts';

/** LevelDB hands on the text of strerror only. */
const OUT_OF_SPACE = /ENOSPC|EDQUOT|No space left on device|Disk quota exceeded/;

/** Whether the volume, or our share of it, is full. */
export function isOutOfSpace(error: unknown): boolean {
  return OUT_OF_SPACE.test(describeError(error));
}
