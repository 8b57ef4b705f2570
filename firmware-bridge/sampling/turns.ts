/**
 * One at a time on the line, in the order of asking: the poll loop asks for one turn, a command for
 * another, so nobody waits for more than one request that is not his.
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Settles as `work` does, which begins when all before it have ended. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}
