/**
 * The 40-pin header of every Raspberry Pi since the B+: what each pin is, from pin 1. A number is
 * the BCM number of a GPIO, which is the offset of its line on the chip of the header.
 */
const HEADER: readonly (number | string)[] = [
  ...['3.3 V', '5 V', 2, '5 V', 3, 'ground', 4, 14, 'ground', 15],
  ...[17, 18, 27, 'ground', 22, 23, '3.3 V', 24, 10, 'ground'],
  ...[9, 25, 11, 8, 'ground', 7, 0, 1, 5, 'ground'],
  ...[6, 12, 13, 'ground', 19, 16, 26, 20, 'ground', 21],
];

export const HEADER_PINS = HEADER.length;

/** What is on a pin of the header: the BCM number of its GPIO, or what it is instead. */
export function headerPin(pin: number): number | string | undefined {
  return HEADER[pin - 1];
}

/** The pin on which a BCM number is, undefined when it is on none. */
export function pinOfBcm(bcm: number): number | undefined {
  const index = HEADER.indexOf(bcm);
  return index < 0 ? undefined : index + 1;
}

/** Labels of the chips that the header is on: Pi 0 to 3, Pi 4, Pi 5. */
export const HEADER_CHIP_LABELS = ['pinctrl-bcm2835', 'pinctrl-bcm2711', 'pinctrl-rp1'] as const;

export function isHeaderChip(label: string): boolean {
  return HEADER_CHIP_LABELS.some((one) => one === label);
}
