/** CPU and node lists as the kernel writes them: `0,4`, `0-3,8` (Documentation/admin-guide/cputopology.rst). */

/** Longer than any kernel's list (CONFIG_NR_CPUS is at most 8192); a mistyped range must not fill memory. */
const MAX_NUMBERS = 65_536;

/** Parses a list into ascending numbers without duplicates; "" is an empty list. Returns undefined for invalid text. */
export function parseCpuList(text: string): number[] | undefined {
  const list = text.trim();
  if (list === "") return [];
  if (!/^\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*$/.test(list)) return undefined;
  const numbers: number[] = [];
  for (const range of list.split(",")) {
    const [first = 0, last = first] = range.split("-").map(Number);
    if (last < first || numbers.length + last - first >= MAX_NUMBERS) return undefined;
    for (let number = first; number <= last; number++) numbers.push(number);
  }
  return ascending([...new Set(numbers)]);
}

/** Formats numbers as an ascending list with ranges and without duplicates: `2-3,6`. */
export function cpuListText(numbers: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const number of ascending([...new Set(numbers)])) {
    const range = ranges.at(-1);
    if (range !== undefined && range[1] === number - 1) range[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

/** Returns a sorted copy. */
export function ascending(numbers: readonly number[]): number[] {
  return [...numbers].sort((a, b) => a - b);
}
