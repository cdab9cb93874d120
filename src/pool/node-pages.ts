/** Counts and sets the huge pages of one NUMA node, compacting memory if the kernel finds too few contiguous blocks. */
import type { Topology } from "../host/cpu/topology.ts";
import { hugePageDirectory, hugePages, rangesBytes, rangesText } from "../host/memory/huge-pages.ts";
import { readMeminfo } from "../host/memory/meminfo.ts";
import { hugePageSizes, pageSizeName } from "../host/memory/page-sizes.ts";
import { NODE_DIRECTORY } from "../host/paths.ts";
import { UserError } from "../sys/errors.ts";
import { writeSetting } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { HUGE_PAGE_BYTES } from "../sys/memory.ts";
import type { System } from "../sys/system.ts";
import { roundedSize, sizeWithUnit } from "../sys/units.ts";
import { notPermitted } from "./ne-cpus.ts";
import { largePageBytes, type PageCounts, pagesOf, pageTargets, sameCounts } from "./plan.ts";

/** A node's huge pages. */
export class NodePages {
  /** For messages: `NUMA node 0`. */
  readonly name: string;
  /** undefined on a kernel without NUMA, whose pages are the machine's. */
  readonly #node: number | undefined;
  /** The page sizes that enclaves can use, largest first. */
  readonly #sizes: readonly number[];

  /** @param throwIfStopped called between writes; throws if a signal asks the command to stop. */
  constructor(
    private readonly system: System,
    { nodes }: Topology,
    node: number,
    private readonly throwIfStopped: () => void = () => {},
  ) {
    this.#node = nodes.length === 0 ? undefined : node;
    this.#sizes = hugePageSizes(system);
    this.name = nodes.length === 0 ? "this machine" : `NUMA node ${node}`;
  }

  /** Returns the pool's pages: without surplus ones, which the kernel frees as soon as their user does. */
  counts(): PageCounts {
    return this.#countEach((pageBytes) => this.#count(pageBytes));
  }

  #countEach(count: (pageBytes: number) => number): PageCounts {
    return this.#sizes
      .map((pageBytes) => ({ pageBytes, pages: count(pageBytes) }))
      .filter(({ pages }) => pages > 0);
  }

  #count(pageBytes: number): number {
    const { total = 0, surplus = 0 } = hugePages(this.system, pageBytes, this.#node);
    return Math.max(0, total - surplus);
  }

  /** Returns all pages, including surplus ones. */
  countsWithSurplus(): PageCounts {
    return this.#countEach((pageBytes) => hugePages(this.system, pageBytes, this.#node).total ?? 0);
  }

  /**
   * Returns an upper limit of the memory that could become huge pages, in bytes: free memory, caches, and as much
   * anonymous memory as swap space can take.
   */
  obtainableBytes(): number {
    const onNode = readMeminfo(this.system, this.#node) ?? (() => 0);
    const swap = readMeminfo(this.system)?.("SwapFree") ?? 0;
    const anonymous = onNode("Active(anon)") + onNode("Inactive(anon)");
    const caches = onNode("Active(file)") + onNode("Inactive(file)") + onNode("SReclaimable");
    return onNode("MemFree") + caches + Math.min(swap, anonymous);
  }

  /**
   * Sets the pages to what the enclaves' memory needs. Returns false if nothing had to be changed. Throws UserError if
   * the node cannot provide the pages; changes made until then remain. @param enclaves bytes of each.
   */
  provide(enclaves: readonly number[]): boolean {
    const have = this.counts();
    const sizes = this.#sizes;
    const large = largePageBytes(sizes);
    let target = pageTargets(enclaves, { sizes, have, maxLarge: Number.POSITIVE_INFINITY });
    if (sameCounts(target, have)) return false;
    this.#checkCapacity(have, target);
    this.#shrink(target);
    if (large !== undefined && pagesOf(target, large) > pagesOf(have, large)) {
      const pages = this.#set(large, pagesOf(target, large));
      if (pages < pagesOf(target, large)) {
        const others = have.filter(({ pageBytes }) => pageBytes !== large);
        const now = [...others, ...(pages > 0 ? [{ pageBytes: large, pages }] : [])];
        target = pageTargets(enclaves, { sizes, have: now, maxLarge: pages });
      }
    }
    const small = pagesOf(target, HUGE_PAGE_BYTES);
    if (small > this.#count(HUGE_PAGE_BYTES)) this.#set(HUGE_PAGE_BYTES, small);
    const got = this.counts();
    if (rangesBytes(got) < rangesBytes(target)) throw this.#fragmented(got, target);
    return true;
  }

  /** Frees the pages that are not needed, which makes space for others. */
  #shrink(target: PageCounts): void {
    for (const { pageBytes, pages } of this.counts()) {
      const needed = pagesOf(target, pageBytes);
      if (needed < pages) this.#set(pageBytes, needed);
    }
  }

  /** Refuses an impossible size at once: the kernel would first evict the memory of all other processes. */
  #checkCapacity(have: PageCounts, target: PageCounts): void {
    const excess = (a: PageCounts, b: PageCounts) =>
      rangesBytes(
        a.map(({ pageBytes, pages }) => ({ pageBytes, pages: Math.max(0, pages - pagesOf(b, pageBytes)) })),
      );
    const needed = excess(target, have);
    const capacity = this.obtainableBytes() + excess(have, target);
    if (needed <= capacity) return;
    const most = Math.max(0, rangesBytes(target) - needed + capacity);
    throw new UserError(
      `${sizeWithUnit(rangesBytes(target))} of huge pages`,
      `${this.name} can provide at most ${roundedSize(most)}`,
      "request less, because the parent's own programs need memory as well; or use a larger instance type",
    );
  }

  /** Sets the pages back to a former state as far as the kernel can. Returns a text about what differs afterwards. */
  restore(before: PageCounts): string | undefined {
    this.#shrink(before);
    for (const { pageBytes, pages } of before) {
      if (this.#count(pageBytes) < pages) this.#set(pageBytes, pages);
    }
    const after = this.counts();
    if (sameCounts(after, before)) return undefined;
    return `${this.name} has ${rangesText(after)}, before it had ${rangesText(before)}`;
  }

  /** Writes the number of pages, and once more after compaction if there are fewer. Returns how many there are. */
  #set(pageBytes: number, count: number): number {
    const path = `${hugePageDirectory(pageBytes, this.#node)}/nr_hugepages`;
    for (const compact of [false, true]) {
      if (compact) this.#compact();
      const result = writeSetting(this.system, path, `${count}\n`);
      // A signal ends the kernel's loop early (set_max_huge_pages); it is pending by now.
      this.throwIfStopped();
      if (result === -ERRNO.EACCES || result === -ERRNO.EPERM || result === -ERRNO.EROFS) {
        throw notPermitted("huge pages", path, -result);
      }
      // Other errors (EINVAL from a kernel that cannot allocate 1 GiB pages at run time) show in the count.
      if (this.#count(pageBytes) >= count) break;
    }
    return this.#count(pageBytes);
  }

  #compact(): void {
    const path =
      this.#node === undefined
        ? "/proc/sys/vm/compact_memory"
        : `${NODE_DIRECTORY}/node${this.#node}/compact`;
    writeSetting(this.system, path, "1\n");
  }

  #fragmented(got: PageCounts, target: PageCounts): UserError {
    const boot = target.map(
      ({ pageBytes, pages }) => `hugepagesz=${pageSizeName(pageBytes)} hugepages=${pages}`,
    );
    return new UserError(
      `${sizeWithUnit(rangesBytes(target))} of huge pages`,
      `${this.name} provided ${sizeWithUnit(rangesBytes(got))} (${rangesText(got)}), even after compaction; ` +
        `${roundedSize(this.obtainableBytes())} more are free or cached, but fragmented`,
      "free the page cache and run it again: sync; echo 3 > /proc/sys/vm/drop_caches; " +
        `or request less; or reserve them at boot, on the kernel command line: ${boot.join(" ")}`,
    );
  }
}
