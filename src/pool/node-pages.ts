/** Counts and sets the huge pages of one NUMA node, compacting memory if the kernel finds too few contiguous blocks. */
import type { Topology } from "../host/cpu/topology.ts";
import { hugePageDirectory, hugePages } from "../host/memory/huge-pages.ts";
import { readMeminfo } from "../host/memory/meminfo.ts";
import { NODE_DIRECTORY } from "../host/paths.ts";
import { UserError } from "../sys/errors.ts";
import { writeSetting } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../sys/memory.ts";
import type { System } from "../sys/system.ts";
import { roundedSize, sizeWithUnit } from "../sys/units.ts";
import { notPermitted } from "./ne-cpus.ts";
import { bytesOf, type PageCounts, pageTargets } from "./plan.ts";

/** A node's huge pages. */
export class NodePages {
  /** For messages: `NUMA node 0`. */
  readonly name: string;
  /** undefined on a kernel without NUMA, whose pages are the machine's. */
  readonly #node: number | undefined;

  /** @param throwIfStopped called between writes; throws if a signal asks the command to stop. */
  constructor(
    private readonly system: System,
    { nodes }: Topology,
    node: number,
    private readonly throwIfStopped: () => void = () => {},
  ) {
    this.#node = nodes.length === 0 ? undefined : node;
    this.name = nodes.length === 0 ? "this machine" : `NUMA node ${node}`;
  }

  /** Returns the pool's pages: without surplus ones, which the kernel frees as soon as their user does. */
  counts(): PageCounts {
    return { of1GiB: this.#count(GIGANTIC_PAGE_BYTES), of2MiB: this.#count(HUGE_PAGE_BYTES) };
  }

  /** A page size that the kernel does not support counts as no pages. */
  #count(pageBytes: number): number {
    const { total = 0, surplus = 0 } = hugePages(this.system, pageBytes, this.#node);
    return Math.max(0, total - surplus);
  }

  /** Returns all pages, including surplus ones. */
  countsWithSurplus(): PageCounts {
    const total = (pageBytes: number) => hugePages(this.system, pageBytes, this.#node).total ?? 0;
    return { of1GiB: total(GIGANTIC_PAGE_BYTES), of2MiB: total(HUGE_PAGE_BYTES) };
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
    const supports1GiB = hugePages(this.system, GIGANTIC_PAGE_BYTES, this.#node).total !== undefined;
    let target = pageTargets(enclaves, have, supports1GiB ? Number.POSITIVE_INFINITY : have.of1GiB);
    if (target.of1GiB === have.of1GiB && target.of2MiB === have.of2MiB) return false;
    this.#checkCapacity(have, target);
    // Free the pages that are no longer needed before allocating others.
    if (target.of2MiB < have.of2MiB) this.#set(HUGE_PAGE_BYTES, target.of2MiB);
    const of1GiB =
      target.of1GiB === have.of1GiB ? have.of1GiB : this.#set(GIGANTIC_PAGE_BYTES, target.of1GiB);
    if (of1GiB < target.of1GiB) target = pageTargets(enclaves, { ...have, of1GiB }, of1GiB);
    const of2MiB =
      target.of2MiB > this.#count(HUGE_PAGE_BYTES)
        ? this.#set(HUGE_PAGE_BYTES, target.of2MiB)
        : target.of2MiB;
    const got = { of1GiB, of2MiB };
    if (bytesOf(got) < bytesOf(target)) throw this.#fragmented(got, target);
    return true;
  }

  /** Refuses an impossible size at once: the kernel would first evict the memory of all other processes. */
  #checkCapacity(have: PageCounts, target: PageCounts): void {
    const excess = (a: PageCounts, b: PageCounts) =>
      bytesOf({ of1GiB: Math.max(0, a.of1GiB - b.of1GiB), of2MiB: Math.max(0, a.of2MiB - b.of2MiB) });
    const needed = excess(target, have);
    const capacity = this.obtainableBytes() + excess(have, target);
    if (needed <= capacity) return;
    const most = Math.max(0, bytesOf(target) - needed + capacity);
    throw new UserError(
      `${sizeWithUnit(bytesOf(target))} of huge pages`,
      `${this.name} can provide at most ${roundedSize(most)}`,
      "request less, because the parent's own programs need memory as well; or use a larger instance type",
    );
  }

  /** Sets the pages back to a former state as far as the kernel can. Returns a text about what differs afterwards. */
  restore(before: PageCounts): string | undefined {
    const now = this.counts();
    if (now.of2MiB > before.of2MiB) this.#set(HUGE_PAGE_BYTES, before.of2MiB);
    if (now.of1GiB !== before.of1GiB) this.#set(GIGANTIC_PAGE_BYTES, before.of1GiB);
    if (now.of2MiB < before.of2MiB) this.#set(HUGE_PAGE_BYTES, before.of2MiB);
    const after = this.counts();
    if (after.of1GiB === before.of1GiB && after.of2MiB === before.of2MiB) return undefined;
    return `${this.name} has ${pageCountText(after)}, before it had ${pageCountText(before)}`;
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
    const boot = [
      ...(target.of1GiB > 0 ? [`hugepagesz=1G hugepages=${target.of1GiB}`] : []),
      `hugepagesz=2M hugepages=${target.of2MiB}`,
    ].join(" ");
    return new UserError(
      `${sizeWithUnit(bytesOf(target))} of huge pages`,
      `${this.name} provided ${sizeWithUnit(bytesOf(got))} (${pageCountText(got)}), even after compaction; ` +
        `${roundedSize(this.obtainableBytes())} more are free or cached, but fragmented`,
      "free the page cache and run it again: sync; echo 3 > /proc/sys/vm/drop_caches; " +
        `or request less; or reserve them at boot, on the kernel command line: ${boot}`,
    );
  }
}

/** Formats page counts: `2 huge pages of 1 GiB and 256 of 2 MiB`. */
export function pageCountText({ of1GiB, of2MiB }: PageCounts): string {
  const pages = (count: number) => `${count} huge page${count === 1 ? "" : "s"}`;
  if (of1GiB === 0) return `${pages(of2MiB)} of 2 MiB`;
  return of2MiB === 0 ? `${pages(of1GiB)} of 1 GiB` : `${pages(of1GiB)} of 1 GiB and ${of2MiB} of 2 MiB`;
}
