/** Medians, and ratios taken round by round: machines drift, what is paired drifts together. */

/** The middle value; NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low, high] =
    sorted.length % 2 === 0 ? [sorted[middle - 1], sorted[middle]] : [sorted[middle], sorted[middle]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}

/** `12.3 (11.9 to 14.0)` */
export function spread(values: readonly number[], digits = 1): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return `${median(values).toFixed(digits)} (${least.toFixed(digits)} to ${most.toFixed(digits)})`;
}

/** The median of the ratios of each round. */
export function ratio(values: readonly number[], others: readonly number[]): number {
  return median(values.map((value, i) => value / (others[i] ?? Number.NaN)));
}

/** Runs each of the contestants in turn, `rounds` times after a warm-up round that does not count. */
export async function rounds<T>(
  count: number,
  contestants: Readonly<Record<string, () => Promise<T> | T>>,
): Promise<Record<string, T[]>> {
  const results: Record<string, T[]> = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (let round = -1; round < count; round++) {
    for (const [name, run] of Object.entries(contestants)) {
      const result = await run();
      if (round >= 0) results[name]?.push(result);
    }
  }
  return results;
}
