/**
 * The counters of huge pages, for the whole instance and for each node (Documentation/admin-guide/mm/hugetlbpage.rst).
 */
import type { PagePool } from "../memory/page-pool.ts";
import { E } from "../sys/errno.ts";
import type { Instance } from "../topology/instance.ts";
import { nodeDirectory } from "./node-files.ts";
import type { Tree } from "./tree.ts";

const directory = "/sys/kernel/mm/hugepages";

/** Adds them. */
export function addHugePageFiles(tree: Tree, instance: Instance): void {
  const { memory, topology } = instance;
  tree.hide(directory);
  for (const pool of memory.pools.values()) {
    const name = `hugepages-${pool.pageBytes / 1024}kB`;
    addWhole(tree, pool, `${directory}/${name}`, () => memory.refresh());
    for (let node = 0; node < topology.nodes; node++) {
      const own = `${nodeDirectory}/node${node}/hugepages/${name}`;
      const figure = (what: "total" | "free" | "surplus") => () => {
        memory.refresh();
        return `${pool.ofNode(node)[what]}\n`;
      };
      tree.file(`${own}/nr_hugepages`, figure("total"), 0o644, (text) => resize(pool, text, node));
      tree.file(`${own}/free_hugepages`, figure("free"));
      tree.file(`${own}/surplus_hugepages`, figure("surplus"));
    }
  }
  const pool = memory.defaultPool;
  if (pool !== undefined) addSysctls(tree, pool, () => memory.refresh());
  const wordOne = (text: string, action: () => void): number => {
    if (text.trim() !== "1") return E.EINVAL;
    action();
    return 0;
  };
  tree.file(
    "/proc/sys/vm/compact_memory",
    () => "0\n",
    0o200,
    (text) => wordOne(text, () => memory.compact()),
  );
  tree.file(
    "/proc/sys/vm/drop_caches",
    () => "0\n",
    0o200,
    (text) => {
      if (!/^[1-4]$/.test(text.trim())) return E.EINVAL;
      if (text.trim() !== "2" && text.trim() !== "4") memory.dropCaches();
      return 0;
    },
  );
}

function addWhole(tree: Tree, pool: PagePool, own: string, refresh: () => void): void {
  const figure = (what: "total" | "free" | "surplus" | "reserved") => () => {
    refresh();
    return `${pool.sums[what]}\n`;
  };
  for (const name of ["nr_hugepages", "nr_hugepages_mempolicy"]) {
    tree.file(`${own}/${name}`, figure("total"), 0o644, (text) => resize(pool, text));
  }
  tree.file(`${own}/free_hugepages`, figure("free"));
  tree.file(`${own}/resv_hugepages`, figure("reserved"));
  tree.file(`${own}/surplus_hugepages`, figure("surplus"));
  tree.file(
    `${own}/nr_overcommit_hugepages`,
    () => `${pool.overcommit}\n`,
    0o644,
    (text) => overcommit(pool, text),
  );
}

/** Adds the same counters of the default size for sysctl(8). */
function addSysctls(tree: Tree, pool: PagePool, refresh: () => void): void {
  const total = (): string => {
    refresh();
    return `${pool.sums.total}\n`;
  };
  for (const name of ["nr_hugepages", "nr_hugepages_mempolicy"]) {
    tree.file(`/proc/sys/vm/${name}`, total, 0o644, (text) => resize(pool, text));
  }
  tree.file(
    "/proc/sys/vm/nr_overcommit_hugepages",
    () => `${pool.overcommit}\n`,
    0o644,
    (text) => overcommit(pool, text),
  );
}

function countOf(text: string): number | undefined {
  const word = text.trim();
  return /^\d{1,19}$/.test(word) ? Number(word) : undefined;
}

function resize(pool: PagePool, text: string, node?: number): number {
  const count = countOf(text);
  if (count === undefined) return E.EINVAL;
  pool.resize(count, node);
  return 0;
}

function overcommit(pool: PagePool, text: string): number {
  const count = countOf(text);
  // Pages larger than the buddy allocator's blocks cannot be surplus (hstate_is_gigantic).
  if (count === undefined || pool.pageBytes > 32 * 1024 * 1024) return E.EINVAL;
  pool.overcommit = count;
  return 0;
}
