import type { OperationView } from '../../hub/api/view.ts';
import type { LinkState } from '../../hub/core/link.ts';
import type {
  Actor,
  OperationDetails,
  OperationName,
  SkipRequest,
} from '../../hub/core/operation.ts';
import type { SinkStatus } from '../../hub/core/status.ts';

/** What was written down. */
export interface Noted {
  readonly sink: string;
  readonly operation: OperationName;
  readonly details: OperationDetails;
  readonly actor: Actor;
}

/** Instructions to a sink that does nothing but remember them. */
export class FixedOperations implements OperationView {
  readonly told: { readonly sink: string; readonly what: unknown; readonly actor: Actor }[] = [];
  readonly noted: Noted[] = [];
  /** What is under way does not end. */
  busy = false;
  readonly #status: (state: LinkState) => SinkStatus;

  constructor(status: (state: LinkState) => SinkStatus) {
    this.#status = status;
  }

  async pause(sink: string, actor: Actor) {
    this.told.push({ sink, what: 'pause', actor });
    return this.busy ? ('busy' as const) : this.#status('paused');
  }

  async resume(sink: string, actor: Actor) {
    this.told.push({ sink, what: 'resume', actor });
    return this.#status('connecting');
  }

  async skip(sink: string, what: SkipRequest, actor: Actor) {
    this.told.push({ sink, what, actor });
    if (this.busy) return 'busy' as const;
    const lanes = [{ lane: 'normal', skippedEvents: 1234, fromOffset: 5, toOffset: 1239 } as const];
    return { sink, skippedEvents: 1234, lanes };
  }

  async note(sink: string, operation: OperationName, details: OperationDetails, actor: Actor) {
    this.noted.push({ sink, operation, details, actor });
  }
}
