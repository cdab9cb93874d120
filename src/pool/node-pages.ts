/** The huge pages of one node, counted and set; what cannot be had is tried again once memory has been compacted. */

import { NODE_DIRECTORY } from "../host/cpu/nodes.ts";
import { hugePageDirectory, hugePages } from "../host/memory/huge-pages.ts";
import { UserError } from "../sys/errors.ts";
import { readSmallFile, writeSetting } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { GIGANTIC_PAGE_BYTES, HUGE_PAGE_BYTES } from "../sys/memory.ts";
import type { System } from "../sys/system.ts";
import { notAllowed } from "./ne-cpus.ts";
import { bytesOf, type PageCounts, pageTargets } from "./plan.ts";

const MIB = 1024 * 1024;

/** A node's huge pages. @param node undefined where the kernel knows no NUMA. */
export class NodePages {
  readonly words: string;

  /** @param check called between writes: throws where the command is asked to stop. */
  constructor(
    private readonly system: System,
    readonly node: number | undefined,
    private readonly check: () => void = () => {},
  ) {
    this.words = node === undefined ? "this machine" : `NUMA node ${node}`;
  }

  /** How many there are; a size that the kernel does not know counts as none. */
  counts(): PageCounts {
    return { giant: this.#count(GIGANTIC_PAGE_BYTES), huge: this.#count(HUGE_PAGE_BYTES) };
  }

  /** Without those beyond the pool's size (surplus), which go as soon as their user gives them back. */
  #count(pageBytes: number): number {
    const { total = 0, surplus = 0 } = hugePages(this.system, pageBytes, this.node);
    return Math.max(0, total - surplus);
  }

  /** As counts, with those that are there only until their user gives them back. */
  all(): PageCounts {
    const total = (pageBytes: number) => hugePages(this.system, pageBytes, this.node).total ?? 0;
    return { giant: total(GIGANTIC_PAGE_BYTES), huge: total(HUGE_PAGE_BYTES) };
  }

  /**
   * Memory that pages could be made of, in bytes: free, cached from files, or, with swap space, of programs. Not all of
   * it will do.
   */
  obtainableBytes(): number {
    const directory =
      this.node === undefined ? "/proc/meminfo" : `${NODE_DIRECTORY}/node${this.node}/meminfo`;
    const text = readSmallFile(this.system, directory) ?? "";
    const kib = (name: string, of = text) =>
      Number(new RegExp(`^(?:Node \\d+ )?${name}:\\s+(\\d+) kB$`, "m").exec(of)?.[1] ?? 0);
    const sum = (names: readonly string[]) => names.reduce((all, name) => all + kib(name), 0);
    const swap = kib("SwapFree", readSmallFile(this.system, "/proc/meminfo"));
    const swapped = Math.min(swap, sum(["Active\\(anon\\)", "Inactive\\(anon\\)"]));
    return (sum(["MemFree", "Active\\(file\\)", "Inactive\\(file\\)", "SReclaimable"]) + swapped) * 1024;
  }

  /**
   * Makes the pages those that the enclaves' memory needs. Gives false where nothing had to be changed.
   * @param enclaves bytes of each. Throws UserError where they cannot be had; what was changed until then stays so.
   */
  provide(enclaves: readonly number[]): boolean {
    const have = this.counts();
    const knowsGiant = hugePages(this.system, GIGANTIC_PAGE_BYTES, this.node).total !== undefined;
    let target = pageTargets(enclaves, have, knowsGiant ? Number.POSITIVE_INFINITY : have.giant);
    if (target.giant === have.giant && target.huge === have.huge) return false;
    this.#checkRoom(have, target);
    // What is to go makes room for what is to come.
    if (target.huge < have.huge) this.#set(HUGE_PAGE_BYTES, target.huge);
    const giant = target.giant === have.giant ? have.giant : this.#set(GIGANTIC_PAGE_BYTES, target.giant);
    if (giant < target.giant) target = pageTargets(enclaves, { ...have, giant }, giant);
    const huge =
      target.huge > this.#count(HUGE_PAGE_BYTES) ? this.#set(HUGE_PAGE_BYTES, target.huge) : target.huge;
    if (bytesOf({ giant, huge }) < bytesOf(target)) this.#refuse({ giant, huge }, target);
    return true;
  }

  /** The kernel would press everybody else's memory out before it says that so many pages cannot be had. */
  #checkRoom(have: PageCounts, target: PageCounts): void {
    const more = (count: PageCounts, than: PageCounts): PageCounts => ({
      giant: Math.max(0, count.giant - than.giant),
      huge: Math.max(0, count.huge - than.huge),
    });
    const needed = bytesOf(more(target, have));
    const room = this.obtainableBytes() + bytesOf(more(have, target));
    if (needed <= room) return;
    const most = Math.max(0, bytesOf(target) - needed + room);
    throw new UserError(
      `${bytesOf(target) / MIB}M of huge pages on ${this.words}`,
      `${needed / MIB}M more are needed for that, and ${Math.floor(room / MIB)}M of its memory are free or ` +
        "could be freed",
      `ask for less than ${Math.floor(most / HUGE_PAGE_BYTES) * 2}M, for its programs need some as well; ` +
        "or use a larger instance",
    );
  }

  /** Sets the pages back to what they were, as far as the kernel can do it. Gives what could not be. */
  restore(before: PageCounts): string | undefined {
    const now = this.counts();
    if (now.huge > before.huge) this.#set(HUGE_PAGE_BYTES, before.huge);
    if (now.giant !== before.giant) this.#set(GIGANTIC_PAGE_BYTES, before.giant);
    if (now.huge < before.huge) this.#set(HUGE_PAGE_BYTES, before.huge);
    const { giant, huge } = this.counts();
    if (giant === before.giant && huge === before.huge) return undefined;
    return `${this.words} has ${pageCountText({ giant, huge })} now, it had ${pageCountText(before)}`;
  }

  /** Writes a number of pages, and again after compaction where there came fewer. Gives how many there are then. */
  #set(pageBytes: number, count: number): number {
    const path = `${hugePageDirectory(pageBytes, this.node)}/nr_hugepages`;
    for (const compact of [false, true]) {
      if (compact) this.#compact();
      const result = writeSetting(this.system, path, `${count}\n`);
      // A signal has ended the write early (set_max_huge_pages); by then it has been noted.
      this.check();
      if (result === -ERRNO.EACCES || result === -ERRNO.EPERM || result === -ERRNO.EROFS) {
        throw notAllowed("huge pages", path, -result);
      }
      // Other refusals (a kernel that makes no 1 GiB pages while it runs: EINVAL) show in the count.
      if (this.#count(pageBytes) >= count) break;
    }
    return this.#count(pageBytes);
  }

  #compact(): void {
    const path =
      this.node === undefined ? "/proc/sys/vm/compact_memory" : `${NODE_DIRECTORY}/node${this.node}/compact`;
    writeSetting(this.system, path, "1\n");
  }

  #refuse(got: PageCounts, target: PageCounts): never {
    const rest = Math.floor(this.obtainableBytes() / MIB);
    const boot = [
      ...(target.giant > 0 ? [`hugepagesz=1G hugepages=${target.giant}`] : []),
      `hugepagesz=2M hugepages=${target.huge}`,
    ].join(" ");
    throw new UserError(
      `${bytesOf(target) / MIB}M of huge pages on ${this.words}`,
      `only ${bytesOf(got) / MIB}M could be had (${pageCountText(got)}), after compaction too; ${rest}M more of its ` +
        "memory are free or cached, but in smaller pieces",
      "free the page cache and try again: sync; echo 3 > /proc/sys/vm/drop_caches; " +
        `or ask for less; or reserve them at boot, on the kernel's command line: ${boot}`,
    );
  }
}

/** `2 huge pages of 1 GiB and 256 of 2 MiB`. */
export function pageCountText({ giant, huge }: PageCounts): string {
  const pages = (count: number) => `${count} huge page${count === 1 ? "" : "s"}`;
  if (giant === 0) return `${pages(huge)} of 2 MiB`;
  return huge === 0 ? `${pages(giant)} of 1 GiB` : `${pages(giant)} of 1 GiB and ${huge} of 2 MiB`;
}
