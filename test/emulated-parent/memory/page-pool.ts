/**
 * The kernel's pool of huge pages of one size, over all nodes (mm/hugetlb.c): a list of free pages for each node, taken
 * from and returned to its head; reservations, which belong to no node; surplus pages; and writes to nr_hugepages,
 * which allocate what is possible without an error for the rest.
 */

/** A huge page, identified by the number of its first 4 KiB frame. */
export interface Page {
  frame: number;
  node: number;
}

/** A node's part of the pool. */
interface NodePages {
  /** Free pages; the last one is allocated next. */
  free: Page[];
  total: number;
  surplus: number;
}

/** The source of further pages, to which pages return that leave the pool. */
export interface Source {
  /** Returns pages that are contiguous as far as possible, in the order in which the pool allocates them. */
  take(node: number, count: number): Page[];
  /** Takes a page back. */
  giveBack(page: Page): void;
}

/** One pool. */
export class PagePool {
  /** Pages reserved for mappings that have not touched them. */
  reserved = 0;
  /** Surplus pages that may exist beyond the pool (nr_overcommit_hugepages). */
  overcommit = 0;
  /** Pages that the driver has leaked. */
  leaked = 0;
  private readonly nodes: NodePages[];
  private nextToGrow = 0;
  private nextToShrink = 0;

  constructor(
    readonly pageBytes: number,
    nodeCount: number,
    private readonly source: Source,
  ) {
    this.nodes = Array.from({ length: nodeCount }, () => ({ free: [], total: 0, surplus: 0 }));
  }

  /** Returns a node's figures, as its directory in sysfs reports them. */
  ofNode(node: number): { total: number; free: number; surplus: number } {
    const { total = 0, free = [], surplus = 0 } = this.nodes[node] ?? {};
    return { total, free: free.length, surplus };
  }

  /** The figures of all nodes. */
  get sums(): { total: number; free: number; surplus: number; reserved: number } {
    const sums = { total: 0, free: 0, surplus: 0, reserved: this.reserved };
    for (const { total, free, surplus } of this.nodes) {
      sums.total += total;
      sums.free += free.length;
      sums.surplus += surplus;
    }
    return sums;
  }

  /** Fills a node at the start; other processes use `used` of its pages. */
  fill(node: number, total: number, used: number): void {
    this.grow(node, total);
    const pages = this.nodes[node];
    pages?.free.splice(0, Math.min(used, pages.free.length)); // those that would have been allocated last
  }

  /** Takes the next free page of the first of these nodes that has one; undefined if none has. */
  take(nodes: readonly number[]): Page | undefined {
    for (const node of nodes) {
      const page = this.nodes[node]?.free.pop();
      if (page !== undefined) return page;
    }
    return undefined;
  }

  /** Takes a page back: to the head of its node's list, or out of the pool if the node has surplus pages. */
  giveBack(page: Page): void {
    const pages = this.nodes[page.node];
    if (pages === undefined) return;
    if (pages.surplus > 0) {
      pages.surplus -= 1;
      pages.total -= 1;
      this.source.giveBack(page);
    } else pages.free.push(page);
  }

  /** Reserves pages for a mapping, all or none (hugetlb_acct_memory); surplus pages are allocated if permitted. */
  reserve(count: number, allowedNodes: readonly number[]): boolean {
    if (count <= 0) return true;
    const missing = this.reserved + count - this.sums.free;
    if (missing > 0 && !this.addSurplus(missing, allowedNodes)) return false;
    const free = allowedNodes.reduce((sum, node) => sum + this.ofNode(node).free, 0);
    if (count > free) return false;
    this.reserved += count;
    return true;
  }

  private addSurplus(count: number, nodes: readonly number[]): boolean {
    if (this.sums.surplus + count > this.overcommit) return false;
    let left = count;
    for (const node of nodes) {
      const got = this.grow(node, left);
      const pages = this.nodes[node];
      if (pages !== undefined) pages.surplus += got;
      left -= got;
      if (left === 0) return true;
    }
    return false;
  }

  /** A write to nr_hugepages, of all nodes or of one (set_max_huge_pages): a shortage is not reported. */
  resize(count: number, node?: number): void {
    const nodes = node === undefined ? this.nodes.map((_, index) => index) : [node];
    const elsewhere = node === undefined ? 0 : this.sums.total - this.ofNode(node).total;
    const wanted = count + elsewhere;
    this.keepSurplus(wanted, nodes);
    this.growEvenly(wanted, nodes);
    this.shrinkEvenly(wanted, nodes);
    this.makeSurplus(wanted, nodes);
  }

  private get persistent(): number {
    const { total, surplus } = this.sums;
    return total - surplus;
  }

  /** Turns surplus pages into pages of the pool before others are allocated. */
  private keepSurplus(wanted: number, nodes: readonly number[]): void {
    for (const node of nodes) {
      const pages = this.nodes[node];
      while (pages !== undefined && pages.surplus > 0 && wanted > this.persistent) pages.surplus -= 1;
    }
  }

  /** Adds one page of each node in turn; a node without memory is skipped. */
  private growEvenly(wanted: number, nodes: readonly number[]): void {
    let missing = wanted - this.persistent;
    if (missing <= 0) return;
    const shares = new Map(nodes.map((node) => [node, 0]));
    // What each node would get page by page, computed in rounds: a node that falls short leaves its share to the
    // others.
    let able = [...nodes];
    while (missing > 0 && able.length > 0) {
      const each = Math.max(1, Math.floor(missing / able.length));
      const turn = able.map((_, index) => able[(index + this.nextToGrow) % able.length] ?? 0);
      const next: number[] = [];
      for (const node of turn) {
        if (missing === 0) break;
        const asked = Math.min(each, missing);
        const got = this.grow(node, asked);
        shares.set(node, (shares.get(node) ?? 0) + got);
        missing -= got;
        if (got === asked) next.push(node);
      }
      able = able.filter((node) => next.includes(node));
    }
    this.nextToGrow = (this.nextToGrow + 1) % this.nodes.length;
  }

  private grow(node: number, count: number): number {
    const pages = this.nodes[node];
    if (pages === undefined) return 0;
    const fresh = this.source.take(node, count);
    pages.total += fresh.length;
    pages.free.push(...fresh.reverse()); // the last of the list is allocated first
    return fresh.length;
  }

  /** Removes free pages that are not reserved, one of each node in turn. */
  private shrinkEvenly(wanted: number, nodes: readonly number[]): void {
    const { total, free } = this.sums;
    const least = Math.max(wanted, this.reserved + total - free);
    for (let idle = 0; this.persistent > least && idle < nodes.length; ) {
      const pages = this.nodes[nodes[this.nextToShrink++ % nodes.length] ?? 0];
      const page = pages?.free.pop();
      if (pages === undefined || page === undefined) idle += 1;
      else {
        idle = 0;
        pages.total -= 1;
        this.source.giveBack(page);
      }
    }
  }

  /** Pages in use cannot be removed: they become surplus, and are removed when their user frees them. */
  private makeSurplus(wanted: number, nodes: readonly number[]): void {
    for (let idle = 0, turn = 0; this.persistent > wanted && idle < nodes.length; turn++) {
      const pages = this.nodes[nodes[turn % nodes.length] ?? 0];
      if (pages === undefined || pages.surplus >= pages.total) idle += 1;
      else {
        idle = 0;
        pages.surplus += 1;
      }
    }
  }
}
