import type { Tone } from '../sink-view.ts';

/** A kelp plant on its holdfast: the root that keeps hold in the storm. */
export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="9" class="mark-ground" />
      <path
        class="mark-blades"
        d="M16.600 14.500c5.400.4 8-2.700 8.100-7.700-4.600-.2-7.900 2.400-8.100 7.700M15.400 17c-4.700.2-7-2.600-7-7.200 4-.1 6.900 2.400 7 7.200M16 8.600c-1.900-1.500-1.900-3.700 0-5.600 1.900 1.900 1.900 4.100 0 5.600"
      />
      <path
        class="mark-roots"
        d="M16 7v14M16 20.500c-1 3.400-4.700 2.700-7.200 7M16 20.500c1 3.400 4.700 2.700 7.200 7M16 20.500c-.4 3-1.500 4.200-2.600 7M16 20.500c.4 3 1.500 4.200 2.600 7"
      />
    </svg>
  );
}

const TONE_PATHS: Readonly<Record<Tone, string>> = {
  good: 'M4.500 8.400l2.400 2.400 4.700-5.200',
  busy: 'M8 3.800v7.600M4.800 8.400L8 11.600l3.200-3.200',
  warn: 'M8 4v5M8 11.600v.1',
  bad: 'M5 5l6 6M11 5l-6 6',
  idle: 'M4.800 8h6.400',
};

/** The sign of a tone: never colour alone. */
export function ToneIcon({ tone }: { tone: Tone }) {
  return (
    <svg class={`tone-icon ${tone}`} viewBox="0 0 16 16" aria-hidden="true">
      <circle cx="8" cy="8" r="7.500" />
      <path d={TONE_PATHS[tone]} />
    </svg>
  );
}
