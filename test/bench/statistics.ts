/** What a few repetitions say together: the middle one, and how far the others lie from it. Pure. */

export type Spread = { median: number; least: number; most: number };

export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('a spread of no values');
  const sorted = [...values].sort((one, other) => one - other);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  const lower = sorted.length % 2 === 1 ? upper : (sorted[middle - 1] ?? 0);
  return { median: (lower + upper) / 2, least: sorted[0] ?? 0, most: sorted.at(-1) ?? 0 };
}

/** The value below which so large a part of them lies: of few values the largest, never one that was not measured. */
export function quantileOf(values: readonly number[], part: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)] ?? 0;
}

/** Another order each time, so that no system is always the first or always behind the same one. */
export const rotated = <Value>(values: readonly Value[], by: number): Value[] => {
  const shift = values.length === 0 ? 0 : by % values.length;
  return [...values.slice(shift), ...values.slice(0, shift)];
};
