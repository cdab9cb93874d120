/**
 * The control groups that the command runs in, version 2 (Documentation/admin-guide/cgroup-v2.rst) or 1: the limits of
 * every directory on the way to its own, which may be written, and what they leave of huge pages and nodes.
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
  /** The directories from the one below the root down to the command's own. */
  readonly directories: readonly string[];
  /** Huge pages that the command's processes have, and those promised to them, in bytes by page size. */
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

  /** Whether a controller's files are in the directories: the hugetlb controller only where something is said of it. */
  get hasHugetlb(): boolean {
    return this.version === 1 || [...this.values.keys()].some((key) => key.includes(" hugetlb."));
  }

  /** What was said or written of a file; undefined where it is as the kernel makes it. */
  value(directory: string, name: string): string | undefined {
    return this.values.get(`${directory} ${name}`);
  }

  /** Takes a limit. */
  setValue(directory: string, name: string, value: string): void {
    this.values.set(`${directory} ${name}`, value);
  }

  /** The lowest limit of a file on the way, in bytes. */
  private lowest(name: string): number {
    return this.directories.reduce((least, directory) => {
      const value = this.value(directory, name) ?? "max";
      return /^\d+$/.test(value) ? Math.min(least, Number(value)) : least;
    }, Number.POSITIVE_INFINITY);
  }

  /** Bytes of huge pages of a size that may still be taken (`used`) or promised (`reserved`). */
  left(pageBytes: number, kind: "used" | "reserved"): number {
    const size = cgroupPageName(pageBytes);
    const promise = kind === "reserved" ? ".rsvd" : "";
    const limit = this.lowest(`hugetlb.${size}${promise}.${this.version === 2 ? "max" : "limit_in_bytes"}`);
    return limit - (this.charged.get(pageBytes)?.[kind] ?? 0);
  }

  /** Counts huge pages as taken or promised; negative where they are given back. */
  charge(pageBytes: number, kind: "used" | "reserved", bytes: number): void {
    const charged = this.charged.get(pageBytes) ?? { used: 0, reserved: 0 };
    charged[kind] += bytes;
    this.charged.set(pageBytes, charged);
  }

  /** The nodes or CPUs of a list that the cpuset leaves. */
  allowed(what: "mems" | "cpus", all: readonly number[]): number[] {
    return this.directories.reduce<number[]>(
      (left, directory) => {
        const listed = parseCpuList(this.value(directory, `cpuset.${what}`) ?? "");
        const both = left.filter((id) => listed.includes(id));
        return both.length === 0 ? left : both; // an empty set is the parent's
      },
      [...all],
    );
  }
}
