/**
 * Limits of the control groups of this process (cgroups(7)): its own group and every group above it, in version 2
 * (Documentation/admin-guide/cgroup-v2.rst) and in version 1, at systemd's mount points.
 */
import { readLimited, readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { MIB, sizeWithUnit } from "../../sys/units.ts";
import { cpuListText, parseCpuList } from "../cpu/cpu-list.ts";
import type { PageRange } from "../memory/huge-pages.ts";
import { pageSizeName } from "../memory/page-sizes.ts";
import { asRoot, type Problem } from "../problem.ts";
import { selfStatusField } from "./self-status.ts";

/** A control group that this process is in, directly or through a child group. */
interface ControlGroup {
  readonly version: 1 | 2;
  /** Its path within the hierarchy: `/user.slice`. */
  readonly name: string;
  /** Its path in the file system. */
  readonly directory: string;
}

const ROOT = "/sys/fs/cgroup";

/** Returns the groups of a controller's hierarchies, from the root down. */
function groupsOfController(system: System, controller: string): ControlGroup[] {
  const lines = (readSmallFile(system, "/proc/self/cgroup") ?? "").split("\n");
  return lines.flatMap((line): ControlGroup[] => {
    const [, controllers, group] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || group === undefined) return [];
    if (controllers === "") {
      // Next to version 1, systemd mounts version 2 in a subdirectory.
      const hybrid = readSmallFile(system, `${ROOT}/unified/cgroup.procs`) !== undefined;
      return groupAndParents(2, hybrid ? `${ROOT}/unified` : ROOT, group);
    }
    return controllers.split(",").includes(controller)
      ? groupAndParents(1, `${ROOT}/${controller}`, group)
      : [];
  });
}

function groupAndParents(version: 1 | 2, root: string, group: string): ControlGroup[] {
  const segments = group.split("/").filter((segment) => segment !== "");
  return [...Array(segments.length + 1).keys()].map((depth) => {
    const name = `/${segments.slice(0, depth).join("/")}`;
    return { version, name, directory: depth === 0 ? root : `${root}${name}` };
  });
}

/** A limit that leaves less than is needed. */
interface TightLimit {
  readonly group: string;
  readonly file: string;
  /** In bytes. */
  readonly limit: bigint;
  /** Bytes below the limit that are not used yet. */
  readonly left: bigint;
  /** What to write into the file to remove the limit. */
  readonly unlimited: "max" | "-1";
}

function readNumber(system: System, path: string): bigint | undefined {
  const text = readSmallFile(system, path)?.trim();
  return text !== undefined && /^\d{1,20}$/.test(text) ? BigInt(text) : undefined;
}

/**
 * Returns the limits of these groups that do not leave the given number of bytes.
 * @param counters names without their suffix: `memory`, `hugetlb.2MB`.
 */
function tightLimits(
  system: System,
  groups: readonly ControlGroup[],
  counters: readonly string[],
  bytes: number,
): TightLimit[] {
  return groups.flatMap(({ version, name, directory }) =>
    counters.flatMap((counter): TightLimit[] => {
      const [limitName, usageName] =
        version === 2 ? ["max", "current"] : ["limit_in_bytes", "usage_in_bytes"];
      const file = `${directory}/${counter}.${limitName}`;
      const limit = readNumber(system, file);
      if (limit === undefined) return [];
      const used = readNumber(system, `${directory}/${counter}.${usageName}`) ?? 0n;
      const left = limit > used ? limit - used : 0n;
      return left < BigInt(bytes)
        ? [{ group: name, file, limit, left, unlimited: version === 2 ? "max" : "-1" }]
        : [];
    }),
  );
}

const OUTSIDE = "or start nitro outside that control group";

/** Returns the control group limit that keeps this process from free huge pages; undefined if there is none. */
export function hugetlbProblem(system: System, demands: readonly PageRange[]): Problem | undefined {
  const groups = groupsOfController(system, "hugetlb");
  const limits = demands.flatMap(({ pageBytes, pages }) => {
    const counter = `hugetlb.${pageSizeName(pageBytes)}B`;
    const needed = pageBytes * pages;
    return tightLimits(system, groups, [counter, `${counter}.rsvd`], needed).map((limit) => ({
      ...limit,
      needed,
    }));
  });
  const [first] = limits;
  if (first === undefined) return undefined;
  return {
    why: `${limitText(first)} of huge pages, ${sizeWithUnit(first.needed)} needed (${limitSource(first)})`,
    command: asRoot(removeLimits(limits)),
    advice: OUTSIDE,
  };
}

function limitText({ group, left }: TightLimit): string {
  return `control group ${group} allows ${sizeWithUnit(Number(left))} more`;
}

function limitSource({ file, limit }: TightLimit): string {
  return `${file} is ${sizeWithUnit(Number(limit))}`;
}

/**
 * The ordinary memory that a running launcher needs, in bytes. Measured: 6 MiB of its own; the rest of its memory is
 * its executable, which the kernel can drop and read again.
 */
const LAUNCHER_BYTES = 32 * MIB;
const MAX_MOUNTINFO_BYTES = 256 * 1024;

/**
 * Returns the control group limit that leaves the launcher itself too little memory; undefined if there is none. Huge
 * pages count only if version 2 is mounted with memory_hugetlb_accounting (Linux 6.6). @param hugeBytes the enclave's.
 */
export function memoryProblem(system: System, hugeBytes = 0): Problem | undefined {
  const mounts = readLimited(system, "/proc/self/mountinfo", MAX_MOUNTINFO_BYTES) ?? "";
  const counted = / - cgroup2 .*\bmemory_hugetlb_accounting\b/.test(mounts) ? hugeBytes : 0;
  const needed = LAUNCHER_BYTES + counted;
  const limits = tightLimits(system, groupsOfController(system, "memory"), ["memory"], needed);
  const [first] = limits;
  if (first === undefined) return undefined;
  const what = counted > 0 ? "needed with the enclave's huge pages" : "needed";
  return {
    why: `${limitText(first)} of memory, ${sizeWithUnit(needed)} ${what} (${limitSource(first)})`,
    command: asRoot(removeLimits(limits)),
    advice: OUTSIDE,
  };
}

function removeLimits(limits: readonly TightLimit[]): string {
  const commands = limits.map(({ file, unlimited }) => `echo ${unlimited} > ${file}`);
  return [...new Set(commands)].join(" && ");
}

/** Returns the cpuset that excludes the pool's node; undefined if there is none. @param node undefined for any node. */
export function cpusetProblem(system: System, node: number | undefined): Problem | undefined {
  if (node === undefined) return undefined;
  const list = selfStatusField(system, "Mems_allowed_list");
  const allowed = list === undefined ? undefined : parseCpuList(list);
  if (allowed === undefined || allowed.includes(node)) return undefined;
  const excluding = groupsOfController(system, "cpuset").flatMap(({ name, directory }) => {
    const file = `${directory}/cpuset.mems`;
    const mems = parseCpuList(readSmallFile(system, file) ?? "") ?? [];
    return mems.length > 0 && !mems.includes(node)
      ? [{ name, file, mems: cpuListText([...mems, node]) }]
      : [];
  });
  const [first] = excluding;
  const where = first === undefined ? "a cpuset" : `the cpuset of control group ${first.name}`;
  const commands = excluding.map(({ file, mems }) => `echo ${mems} > ${file}`);
  return {
    why: `${where} allows memory of NUMA node ${list} only, but the CPU pool is on node ${node}`,
    command: commands.length === 0 ? undefined : asRoot(commands.join(" && ")),
    advice: OUTSIDE,
  };
}
