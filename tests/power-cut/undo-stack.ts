/** Signals that end a test run. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** `exiting`: this process ends now, and closes its own files only after that. */
export type Step = (exiting: boolean) => void;

/**
 * What has to be undone, the last thing first: mounts, loop devices, processes, folders. Undone at
 * the latest when this process ends, also by a signal; a mount that stays would outlive it.
 */
export class UndoStack {
  readonly #steps: Step[] = [];
  readonly #onExit = (): void => this.undo(true);
  readonly #onSignal = (): void => process.exit(1);

  constructor() {
    process.on('exit', this.#onExit);
    for (const signal of SIGNALS) process.on(signal, this.#onSignal);
  }

  /** Answers a function that does this one step now. It is done once. */
  add(step: Step): () => void {
    this.#steps.push(step);
    return () => {
      const index = this.#steps.indexOf(step);
      if (index < 0) return;
      this.#steps.splice(index, 1);
      step(false);
    };
  }

  /** Does all steps, also when one fails; then throws the first failure. */
  undo(exiting = false): void {
    const failures: unknown[] = [];
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      try {
        step(exiting);
      } catch (error) {
        failures.push(error);
      }
    }
    process.off('exit', this.#onExit);
    // only now: a second signal may not end this before all is undone
    for (const signal of SIGNALS) process.off(signal, this.#onSignal);
    if (failures.length > 0) throw failures[0];
  }
}
