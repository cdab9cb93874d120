/**
 * The control groups that the command runs in, version 2 (Documentation/admin-guide/cgroup-v2.rst) or 1: the limits of
 * its own directory and all directories above it, which may be written, and the huge pages and nodes that they allow.
 */
import { posix } from "node:path";
import { parseCpuList } from "../driver/cpu-list.ts";
import type { CgroupInput } from "./host.ts";

/** What version 1 shows for no limit: LONG_MAX, rounded down to a page. */
export const UNLIMITED_V1 = 9223372036854771712n;

/** The name of a page size in the files of the hugetlb controller. */
export function cgroupPageName(pageBytes: number): string {
  if (pageBytes >= 1024 ** 3) return `${pageBytes / 1024 ** 3}GB`;
  return pageBytes >= 1024 ** 2 ? `${pageBytes / 1024 ** 2}MB` : `${pageBytes / 1024}KB`;
}

/** The groups. */
export class Cgroups {
  readonly version: 1 | 2;
  readonly path: string;
  /** The directories from the one below the root to the command's own. */
  readonly directories: readonly string[];
  /** Huge pages that the command's processes use and have reserved, in bytes by page size. */
  readonly charged = new Map<number, { used: number; reserved: number }>();
  private readonly values = new Map<string, string>();

  constructor({ version, path, limits }: CgroupInput) {
    this.version = version;
    this.path = path;
    const directories: string[] = [];
    for (let at = path; at !== "/"; at = posix.dirname(at)) directories.unshift(at);
    this.directories = directories;
    for (const [directory, files] of Object.entries(limits)) {
      for (const [name, value] of Object.entries(files)) this.values.set(`${directory} ${name}`, value);
    }
  }

  /**
   * Whether a controller has files in the directories: the hugetlb controller only if the scenario has a limit of it.
   */
  get hasHugetlb(): boolean {
    return this.version === 1 || [...this.values.keys()].some((key) => key.includes(" hugetlb."));
  }

  /** Returns the given or written value of a file; undefined for the kernel's default. */
  value(directory: string, name: string): string | undefined {
    return this.values.get(`${directory} ${name}`);
  }

  /** Sets a limit. */
  setValue(directory: string, name: string, value: string): void {
    this.values.set(`${directory} ${name}`, value);
  }

  /** Returns the lowest limit of a file in these directories, in bytes. */
  private lowest(name: string): number {
    return this.directories.reduce((least, directory) => {
      const value = this.value(directory, name) ?? "max";
      return /^\d+$/.test(value) ? Math.min(least, Number(value)) : least;
    }, Number.POSITIVE_INFINITY);
  }

  /** Returns the bytes of huge pages of a size that may still be allocated (`used`) or reserved (`reserved`). */
  left(pageBytes: number, kind: "used" | "reserved"): number {
    const size = cgroupPageName(pageBytes);
    const promise = kind === "reserved" ? ".rsvd" : "";
    const limit = this.lowest(`hugetlb.${size}${promise}.${this.version === 2 ? "max" : "limit_in_bytes"}`);
    return limit - (this.charged.get(pageBytes)?.[kind] ?? 0);
  }

  /** Counts huge pages as allocated or reserved; negative if they are freed. */
  charge(pageBytes: number, kind: "used" | "reserved", bytes: number): void {
    const charged = this.charged.get(pageBytes) ?? { used: 0, reserved: 0 };
    charged[kind] += bytes;
    this.charged.set(pageBytes, charged);
  }

  /** Returns the nodes or CPUs of a list that the cpuset allows. */
  allowed(what: "mems" | "cpus", all: readonly number[]): number[] {
    return this.directories.reduce<number[]>(
      (left, directory) => {
        const listed = parseCpuList(this.value(directory, `cpuset.${what}`) ?? "");
        const both = left.filter((id) => listed.includes(id));
        return both.length === 0 ? left : both; // an empty set means the parent's
      },
      [...all],
    );
  }
}
