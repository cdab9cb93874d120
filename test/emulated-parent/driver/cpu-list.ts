/** CPU lists and masks as the kernel writes and reads them (lib/bitmap-str.c). */
import { E } from "../sys/errno.ts";

/** Returns the CPUs of a list such as `1,3` or `2-5`. */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  for (const part of text.split(",").filter((piece) => piece.trim() !== "")) {
    const [first = "", last = first] = part.trim().split("-");
    for (let cpu = Number(first); cpu <= Number(last); cpu++) cpus.push(cpu);
  }
  return cpus;
}

/** Formats CPUs as a list with ranges, as sysfs prints them. */
export function formatCpuList(cpus: readonly number[]): string {
  const sorted = [...cpus].sort((a, b) => a - b);
  const runs: [number, number][] = [];
  for (const cpu of sorted) {
    const run = runs.at(-1);
    if (run !== undefined && run[1] === cpu - 1) run[1] = cpu;
    else runs.push([cpu, cpu]);
  }
  return runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

/** Formats CPUs as a mask of `count` bits: units of 32 bits, the highest first. */
export function formatCpuMask(cpus: readonly number[], count: number): string {
  const words = new Uint32Array(Math.max(1, Math.ceil(count / 32)));
  for (const cpu of cpus) words[cpu >> 5] = (words[cpu >> 5] ?? 0) | (1 << (cpu & 31));
  const highestDigits = Math.ceil((((count - 1) % 32) + 1) / 4);
  return [...words]
    .reverse()
    .map((word, index) => word.toString(16).padStart(index === 0 ? highestDigits : 8, "0"))
    .join(",");
}

/** Parses a list as the kernel does (bitmap_parselist): the CPUs in ascending order, or the negated errno. */
export function readCpuList(text: string, count: number): number[] | number {
  const cpus = new Set<number>();
  for (const piece of text.split(/[\s,]+/).filter((part) => part !== "")) {
    const match = /^(all|N|\d+)(?:-(N|\d+)(?::(\d+)\/(\d+))?)?$/i.exec(piece);
    if (match === null) return -E.EINVAL;
    const number = (word: string): number => (/^n$/i.test(word) ? count - 1 : Number(word));
    const whole = /^all$/i.test(match[1] ?? "");
    if (whole && match[2] !== undefined) return -E.EINVAL;
    const first = whole ? 0 : number(match[1] ?? "");
    const last = whole ? count - 1 : number(match[2] ?? match[1] ?? "");
    if (first >= 2 ** 32 || last >= 2 ** 32) return -E.EOVERFLOW;
    const used = match[3] === undefined ? 1 : Number(match[3]);
    const group = match[4] === undefined ? 1 : Number(match[4]);
    if (first > last || used > group || group === 0 || used === 0) return -E.EINVAL;
    if (last >= count) return -E.ERANGE;
    for (let cpu = first; cpu <= last; cpu++) if ((cpu - first) % group < used) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}
