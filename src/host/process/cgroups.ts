/**
 * Limits of the control groups that this process is in (cgroups(7)): of its own group and of every one above, in
 * version 2 (Documentation/admin-guide/cgroup-v2.rst) and in version 1, at the places where systemd mounts them.
 */
import { readLimited, readSmallFile } from "../../sys/files.ts";
import type { System } from "../../sys/system.ts";
import { cpuListText, parseCpuList } from "../cpu/cpu-list.ts";
import { asRoot, type Problem } from "../problem.ts";

/** A directory of a hierarchy that this process is in or below. */
interface GroupDirectory {
  readonly version: 1 | 2;
  /** Of the group: `/user.slice`. */
  readonly name: string;
  /** In the file system. */
  readonly path: string;
}

const ROOT = "/sys/fs/cgroup";

/** The directories of a controller's hierarchies, from the top. */
function directoriesOf(system: System, controller: string): GroupDirectory[] {
  const rows = (readSmallFile(system, "/proc/self/cgroup") ?? "").split("\n");
  return rows.flatMap((row): GroupDirectory[] => {
    const [, names, group] = /^\d+:([^:]*):(\/.*)$/.exec(row) ?? [];
    if (names === undefined || group === undefined) return [];
    if (names === "") {
      // Where version 1 is mounted as well, version 2 has a directory of its own.
      const hybrid = readSmallFile(system, `${ROOT}/unified/cgroup.procs`) !== undefined;
      return chain(2, hybrid ? `${ROOT}/unified` : ROOT, group);
    }
    return names.split(",").includes(controller) ? chain(1, `${ROOT}/${controller}`, group) : [];
  });
}

function chain(version: 1 | 2, root: string, group: string): GroupDirectory[] {
  const parts = group.split("/").filter((part) => part !== "");
  return [...Array(parts.length + 1).keys()].map((depth) => {
    const name = `/${parts.slice(0, depth).join("/")}`;
    return { version, name, path: depth === 0 ? root : `${root}${name}` };
  });
}

/** A limit that leaves too little, and the file to write for none. */
interface Narrow {
  readonly group: string;
  readonly file: string;
  readonly limit: bigint;
  readonly left: bigint;
  readonly none: "max" | "-1";
}

function numberIn(system: System, path: string): bigint | undefined {
  const text = readSmallFile(system, path)?.trim();
  return text !== undefined && /^\d{1,20}$/.test(text) ? BigInt(text) : undefined;
}

/** Limits of these directories below which so many bytes do not fit, beside what is charged already. */
function narrow(
  system: System,
  directories: readonly GroupDirectory[],
  names: readonly string[],
  bytes: number,
): Narrow[] {
  return directories.flatMap(({ version, name, path }) =>
    names.flatMap((each): Narrow[] => {
      const [limitName, usageName] =
        version === 2 ? ["max", "current"] : ["limit_in_bytes", "usage_in_bytes"];
      const file = `${path}/${each}.${limitName}`;
      const limit = numberIn(system, file);
      if (limit === undefined) return [];
      const used = numberIn(system, `${path}/${each}.${usageName}`) ?? 0n;
      const left = limit > used ? limit - used : 0n;
      return left < BigInt(bytes)
        ? [{ group: name, file, limit, left, none: version === 2 ? "max" : "-1" }]
        : [];
    }),
  );
}

/** A page size as the hugetlb controller's files have it. */
function sizeName(pageBytes: number): string {
  return pageBytes >= 2 ** 30 ? `${pageBytes / 2 ** 30}GB` : `${pageBytes / 2 ** 20}MB`;
}

/** The huge pages of one size that an enclave takes. */
interface PagesWanted {
  readonly pageBytes: number;
  readonly pages: number;
}

/** Why control groups keep this process from huge pages that are free; undefined where they do not. */
export function hugetlbProblem(system: System, wanted: readonly PagesWanted[]): Problem | undefined {
  const directories = directoriesOf(system, "hugetlb");
  const found = wanted.flatMap(({ pageBytes, pages }) => {
    const name = `hugetlb.${sizeName(pageBytes)}`;
    return narrow(system, directories, [name, `${name}.rsvd`], pageBytes * pages).map((each) => ({
      ...each,
      wanted: pageBytes * pages,
    }));
  });
  const [first] = found;
  if (first === undefined) return undefined;
  return {
    why:
      `the control group ${first.group} leaves ${mib(first.left)} of huge pages ` +
      `(${first.file} is ${mib(first.limit)}), and ${mib(BigInt(first.wanted))} are needed`,
    command: asRoot(lifting(found)),
    advice: "or start nitro outside of that group",
  };
}

/**
 * What a launcher needs of ordinary memory while it runs, in bytes: it has been seen with 6 MiB of its own, and what
 * else it has is its program's file, which the kernel can read again.
 */
const OWN_MEMORY_BYTES = 32 * 2 ** 20;

/**
 * Why control groups leave the launcher itself too little memory; undefined where they do not. Huge pages count only
 * where version 2 is mounted so (memory_hugetlb_accounting, Linux 6.6). @param hugeBytes of the enclave.
 */
export function memoryProblem(system: System, hugeBytes = 0): Problem | undefined {
  const mounts = readLimited(system, "/proc/self/mountinfo", MOST_MOUNTS_BYTES) ?? "";
  const counted = / - cgroup2 .*\bmemory_hugetlb_accounting\b/.test(mounts) ? hugeBytes : 0;
  const needed = OWN_MEMORY_BYTES + counted;
  const found = narrow(system, directoriesOf(system, "memory"), ["memory"], needed);
  const [first] = found;
  if (first === undefined) return undefined;
  return {
    why:
      `the control group ${first.group} leaves ${mib(first.left)} of memory (${first.file} is ${mib(first.limit)}), ` +
      `and ${mib(BigInt(needed))} ${counted > 0 ? "with the enclave's huge pages " : ""}may be needed`,
    command: asRoot(lifting(found)),
    advice: "or start nitro outside of that group",
  };
}

const MOST_MOUNTS_BYTES = 256 * 1024;

function lifting(found: readonly Narrow[]): string {
  return [...new Map(found.map((each) => [each.file, each])).values()]
    .map(({ file, none }) => `echo ${none} > ${file}`)
    .join(" && ");
}

function mib(bytes: bigint): string {
  return `${bytes / 2n ** 20n}M`;
}

/** Why a cpuset keeps this process from the pool's node; undefined where it does not, or any node will do. */
export function cpusetProblem(system: System, node: number | undefined): Problem | undefined {
  if (node === undefined) return undefined;
  const status = readSmallFile(system, "/proc/self/status") ?? "";
  const list = /^Mems_allowed_list:\s*(\S+)$/m.exec(status)?.[1];
  const allowed = list === undefined ? undefined : parseCpuList(list);
  if (allowed === undefined || allowed.includes(node)) return undefined;
  const narrowing = directoriesOf(system, "cpuset").flatMap(({ name, path }) => {
    const file = `${path}/cpuset.mems`;
    const mems = parseCpuList(readSmallFile(system, file) ?? "") ?? [];
    return mems.length > 0 && !mems.includes(node)
      ? [{ name, file, mems: cpuListText([...mems, node]) }]
      : [];
  });
  const [first] = narrowing;
  const where = first === undefined ? "a cpuset" : `the cpuset of the control group ${first.name}`;
  const commands = narrowing.map(({ file, mems }) => `echo ${mems} > ${file}`);
  return {
    why: `${where} leaves out NUMA node ${node}, where the CPU pool is: memory comes from node ${list} only`,
    command: commands.length === 0 ? undefined : asRoot(commands.join(" && ")),
    advice: "or start nitro outside of that group",
  };
}
