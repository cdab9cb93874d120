/** CPU and node lists as the kernel writes them: `0,4`, `0-3,8` (Documentation/admin-guide/cputopology.rst). */

/** The most that a list may name: more than any kernel has (CONFIG_NR_CPUS 8192), so that a typing error ends here. */
const MOST_NUMBERS = 65_536;

/** The numbers of a list in ascending order, each once; "" names none; undefined for what is no list. */
export function parseCpuList(text: string): number[] | undefined {
  const list = text.trim();
  if (list === "") return [];
  if (!/^\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*$/.test(list)) return undefined;
  const found: number[] = [];
  let inOrder = true;
  for (const range of list.split(",")) {
    const [first = 0, last = first] = range.split("-").map(Number);
    if (last < first || found.length + last - first >= MOST_NUMBERS) return undefined;
    inOrder &&= first > (found[found.length - 1] ?? -1);
    for (let number = first; number <= last; number++) found.push(number);
  }
  return inOrder ? found : ascending([...new Set(found)]);
}

/** Numbers as a list with ranges, ascending, each once: `2-3,6`. */
export function cpuListText(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const number of ascending([...new Set(numbers)])) {
    const run = runs.at(-1);
    if (run !== undefined && run[1] === number - 1) run[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

/** A copy in ascending order. */
export function ascending(numbers: readonly number[]): number[] {
  return [...numbers].sort((a, b) => a - b);
}
