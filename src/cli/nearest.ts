/** Finds the name that a mistyped one most likely stands for. */

/**
 * Counts the edits between two texts: insertions, deletions, substitutions and swaps of neighbours
 * (optimal string alignment distance).
 */
export function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const cell = (i: number, j: number) => rows[i]?.[j] ?? Number.POSITIVE_INFINITY;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const substitution = cell(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? cell(i - 2, j - 2) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(cell(i - 1, j) + 1, cell(i, j - 1) + 1, substitution, swap));
    }
  }
  return cell(a.length, b.length);
}

/** The longest name that is compared; a longer one is no typo of an option or a command. */
const MAX_LENGTH = 40;

/** Returns the candidate nearest to `name` in any letter case; undefined if all differ in more than a third of it. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  if (name.length > MAX_LENGTH) return undefined;
  const distance = (candidate: string) => editDistance(name.toLowerCase(), candidate.toLowerCase());
  const [best] = candidates
    .map((candidate) => ({ candidate, edits: distance(candidate) }))
    .sort((a, b) => a.edits - b.edits);
  const longer = Math.max(name.length, best?.candidate.length ?? 0);
  return best !== undefined && best.edits <= Math.floor(longer / 3) ? best.candidate : undefined;
}
