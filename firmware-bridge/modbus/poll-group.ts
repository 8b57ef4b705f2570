import type { Group } from '../sampling/schedule.ts';
import type { Read } from './read-plan.ts';
import type { SlaveLink } from './slave-link.ts';

/** Registers of one slave that are read together: those with the same interval. */
export interface PollGroup extends Group<SlaveLink> {
  /** Changes when the slave refuses a read that spans several registers. */
  reads: readonly Read[];
}
