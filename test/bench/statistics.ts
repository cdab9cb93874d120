/**
 * Medians, paired ratios and their confidence intervals. Machines drift during a run; values of one round drift together,
 * so two programs are compared by the ratios of each round.
 */

/** Returns the median; NaN for an empty list. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 0 ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper;
}

/** Formats median, minimum and maximum: `12.3 (11.9 to 14.0)`. */
export function summary(values: readonly number[], digits = 1): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return `${median(values).toFixed(digits)} (${least.toFixed(digits)} to ${most.toFixed(digits)})`;
}

/** Returns value / other for each round. */
export function pairedRatios(values: readonly number[], others: readonly number[]): number[] {
  return values.map((value, i) => value / (others[i] ?? Number.NaN));
}

/** Returns the median of the paired ratios. */
export function medianRatio(values: readonly number[], others: readonly number[]): number {
  return median(pairedRatios(values, others));
}

/** A median with the limits of its 95 % confidence interval. */
export interface MedianInterval {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Returns the median and its distribution-free 95 % confidence interval: order statistics whose ranks follow from the
 * normal approximation of the binomial distribution (Conover, Practical Nonparametric Statistics, "Confidence interval
 * for a quantile"). With fewer than six values the interval is their whole range.
 */
export function medianInterval(values: readonly number[]): MedianInterval {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = Math.max(0, Math.floor((sorted.length - 1.96 * Math.sqrt(sorted.length)) / 2));
  return {
    median: median(sorted),
    low: sorted[rank] ?? Number.NaN,
    high: sorted[sorted.length - 1 - rank] ?? Number.NaN,
  };
}

/**
 * Runs every contestant once per round, after one warm-up round that is not counted. The order is reversed in every
 * second round, so that no contestant always follows the same one.
 */
export async function rounds<T>(
  count: number,
  contestants: Readonly<Record<string, () => Promise<T> | T>>,
): Promise<Record<string, T[]>> {
  const results: Record<string, T[]> = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (let round = -1; round < count; round++) {
    const order = Object.entries(contestants);
    if (round % 2 === 1) order.reverse();
    for (const [name, run] of order) {
      const result = await run();
      if (round >= 0) results[name]?.push(result);
    }
  }
  return results;
}

/** Prints one figure of every contestant, and the ratio of the first (nitro) to each other one. */
export function printFigures(unit: string, figures: Readonly<Record<string, readonly number[]>>): void {
  const own = figures["nitro"] ?? [];
  const texts = Object.entries(figures).map(([name, values]) => {
    const ratio = name === "nitro" ? "" : `, ratio ${medianRatio(own, values).toFixed(2)}`;
    return `${name} ${summary(values)}${ratio}`;
  });
  console.log(`  ${unit}: ${texts.join("; ")}`);
}
