import type { ComponentChildren } from 'preact';
import type { Tone } from '../sink-view.ts';
import { ToneIcon } from './icons.tsx';

export interface PillProps {
  readonly tone: Tone;
  readonly title?: string;
  readonly children: ComponentChildren;
}

/** A state in colour, word and icon. */
export function Pill({ tone, title, children }: PillProps) {
  return (
    <span class={`pill ${tone}`} title={title}>
      <ToneIcon tone={tone} />
      {children}
    </span>
  );
}
