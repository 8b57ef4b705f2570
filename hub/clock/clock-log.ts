import type { Logger } from 'pino';

/** Below this a correction is not worth a number: a clock that was right. */
const WORTH_TELLING_MS = 500;

interface Change {
  readonly change: 'synced' | 'lost' | 'stepped';
  readonly movedMs: number;
}

/** Makes what tells people of the clock: when it is put right, when it is lost, when it is set. */
export function clockLogger(logger: Logger): (change: Change) => void {
  return ({ change, movedMs }) => {
    const movedSeconds = Math.round(movedMs) / 1000;
    switch (change) {
      case 'synced':
        if (Math.abs(movedMs) < WORTH_TELLING_MS) logger.info('the clock is synchronised');
        else
          logger.warn({ movedSeconds }, 'the clock is synchronised: earlier times are corrected');
        return;
      case 'lost':
        logger.warn('the clock is not synchronised any more: times go by the monotonic clock');
        return;
      case 'stepped':
        logger.warn({ movedSeconds }, 'the wall clock was set');
    }
  };
}
