/** The huge pages of one node, counted and set; what cannot be had is tried again once memory has been compacted. */
import { hugePageFolder, hugePages } from "../host/huge-pages.ts";
import { NODE_FOLDER } from "../host/nodes.ts";
import { errnoText, Failure } from "../sys/failure.ts";
import { readSmallFile, writeSetting } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { GIANT_PAGE_BYTES, HUGE_PAGE_BYTES } from "../sys/memory.ts";
import type { System } from "../sys/system.ts";
import { bytesOf, type PageCounts, pageTargets } from "./plan.ts";

const MIB = 1024 * 1024;

/** A node's huge pages. @param node undefined where the kernel knows no NUMA. */
export class NodePages {
  readonly words: string;

  constructor(
    private readonly system: System,
    readonly node: number | undefined,
  ) {
    this.words = node === undefined ? "this machine" : `NUMA node ${node}`;
  }

  /** How many there are; a size that the kernel does not know counts as none. */
  counts(): PageCounts {
    return { giant: this.#total(GIANT_PAGE_BYTES), huge: this.#total(HUGE_PAGE_BYTES) };
  }

  #total(pageBytes: number): number {
    return hugePages(this.system, pageBytes, this.node).total ?? 0;
  }

  /** Pages of a size that somebody holds. */
  inUse(pageBytes: number): number {
    const { total = 0, free = 0 } = hugePages(this.system, pageBytes, this.node);
    return total - free;
  }

  /** Memory that pages could be made of, in bytes: free, or cached from files. Not all of it will do. */
  obtainableBytes(): number {
    const folder = this.node === undefined ? "/proc/meminfo" : `${NODE_FOLDER}/node${this.node}/meminfo`;
    const text = readSmallFile(this.system, folder) ?? "";
    const kib = (name: string) =>
      Number(new RegExp(`^(?:Node \\d+ )?${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? 0);
    return (
      ["MemFree", "Active\\(file\\)", "Inactive\\(file\\)"].reduce((all, name) => all + kib(name), 0) * 1024
    );
  }

  /**
   * Makes the pages those that the enclaves' memory needs. Gives false where nothing had to be changed.
   * @param enclaves bytes of each. Throws Failure where they cannot be had; what was changed until then stays so.
   */
  provide(enclaves: readonly number[]): boolean {
    const have = this.counts();
    const knowsGiant = hugePages(this.system, GIANT_PAGE_BYTES, this.node).total !== undefined;
    let target = pageTargets(enclaves, have, knowsGiant ? Number.POSITIVE_INFINITY : have.giant);
    if (target.giant === have.giant && target.huge === have.huge) return false;
    const wanted = bytesOf(target);
    // What is to go makes room for what is to come.
    if (target.huge < have.huge) this.#set(HUGE_PAGE_BYTES, target.huge);
    const giant = target.giant === have.giant ? have.giant : this.#set(GIANT_PAGE_BYTES, target.giant);
    if (giant < target.giant) target = pageTargets(enclaves, { ...have, giant }, giant);
    const huge =
      target.huge > this.#total(HUGE_PAGE_BYTES) ? this.#set(HUGE_PAGE_BYTES, target.huge) : target.huge;
    if (bytesOf({ giant, huge }) < wanted) this.#refuse(wanted, { giant, huge }, target);
    return true;
  }

  /** Sets the pages back to what they were, as far as the kernel can do it. Gives what could not be. */
  restore(before: PageCounts): string | undefined {
    const now = this.counts();
    if (now.huge > before.huge) this.#set(HUGE_PAGE_BYTES, before.huge);
    if (now.giant !== before.giant) this.#set(GIANT_PAGE_BYTES, before.giant);
    if (now.huge < before.huge) this.#set(HUGE_PAGE_BYTES, before.huge);
    const { giant, huge } = this.counts();
    if (giant === before.giant && huge === before.huge) return undefined;
    return `${this.words} has ${countText({ giant, huge })} now, it had ${countText(before)}`;
  }

  /** Writes a number of pages, and again after compaction where there came fewer. Gives how many there are then. */
  #set(pageBytes: number, count: number): number {
    const path = `${hugePageFolder(pageBytes, this.node)}/nr_hugepages`;
    for (const compact of [false, true]) {
      if (compact) this.#compact();
      const result = writeSetting(this.system, path, `${count}\n`);
      if (result === -ERRNO.EACCES || result === -ERRNO.EPERM || result === -ERRNO.EROFS) {
        throw new Failure(path, errnoText(-result), "run it as root: sudo nitro pool");
      }
      // Other refusals (a kernel that makes no 1 GiB pages while it runs: EINVAL) show in the count.
      if (this.#total(pageBytes) >= count) break;
    }
    return this.#total(pageBytes);
  }

  #compact(): void {
    const path =
      this.node === undefined ? "/proc/sys/vm/compact_memory" : `${NODE_FOLDER}/node${this.node}/compact`;
    writeSetting(this.system, path, "1\n");
  }

  #refuse(wanted: number, got: PageCounts, target: PageCounts): never {
    const free = Math.floor(this.obtainableBytes() / MIB);
    const boot = [
      ...(target.giant > 0 ? [`hugepagesz=1G hugepages=${target.giant}`] : []),
      `hugepagesz=2M hugepages=${target.huge}`,
    ].join(" ");
    throw new Failure(
      `${wanted / MIB}M of huge pages on ${this.words}`,
      `only ${countText(got)} could be had, after compaction too; of its memory ${free}M are free or cached, ` +
        "in smaller pieces",
      "free the page cache and try again: sync; echo 3 > /proc/sys/vm/drop_caches; " +
        `or ask for less, or reserve them at boot, on the kernel's command line: ${boot}`,
    );
  }
}

/** `2 huge pages of 1 GiB and 256 of 2 MiB`. */
export function countText({ giant, huge }: PageCounts): string {
  const pages = (count: number) => `${count} huge page${count === 1 ? "" : "s"}`;
  if (giant === 0) return `${pages(huge)} of 2 MiB`;
  return huge === 0 ? `${pages(giant)} of 1 GiB` : `${pages(giant)} of 1 GiB and ${huge} of 2 MiB`;
}
