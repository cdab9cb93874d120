/** The memory of all nodes: how much is free, and how many more huge pages can be allocated from it. */
import { type Host, type NodeInput, type PagesInput, pageSizeBytes } from "../topology/host.ts";
import type { Topology } from "../topology/topology.ts";
import { type Page, PagePool, type Source } from "./page-pool.ts";

const SMALL_PAGE = 4096;
const KIB = 1024;
const MIB = 1024 * KIB;
/** The share of a node's memory that the kernel uses itself; the rest is free at the start. */
const kernelShare = 0.03;
/** Frame numbers of a node, and of the pages of one size in it: far more than any node has. */
const framesOfNode = 2 ** 32;

/** How many more pages of a size a node can provide. */
interface Obtainable {
  now: number;
  compacted: number;
}

/** Memory of one node, in bytes. */
export interface NodeFigures {
  total: number;
  free: number;
  cached: number;
}

/** All nodes. */
export class NodeMemory {
  /** The pools of huge pages by the size of a page. */
  readonly pools: ReadonlyMap<number, PagePool>;
  /** Called before figures are read: frees the pages of ended programs. */
  refresh: () => void = () => undefined;
  private readonly nodes: NodeFigures[];
  private readonly obtainable = new Map<string, Obtainable>();
  private readonly nextFrame = new Map<string, number>();
  private readonly spare = new Map<string, Page[]>();
  private random: number;

  constructor(
    topology: Topology,
    private readonly host: Host,
    /** Pages of the whole instance by bytes, for nodes without their own figures. */
    pages: ReadonlyMap<number, number>,
  ) {
    this.random = host.seed;
    this.nodes = Array.from({ length: topology.nodes }, (_, node) => {
      const given = host.nodes[node] ?? {};
      const total = (given.memoryMiB ?? Math.floor(topology.memoryMiB / topology.nodes)) * MIB;
      const cached = (given.cachedMiB ?? 0) * MIB;
      const huge = hugeBytes(given, pages, topology.nodes);
      const left = Math.max(0, Math.floor((total * (1 - kernelShare) - cached - huge) / MIB) * MIB);
      const free = given.freeMiB === undefined ? left : given.freeMiB * MIB;
      return { total, free: free + huge, cached };
    });
    this.pools = new Map(
      host.hugePageSizes.map((size) => {
        const bytes = pageSizeBytes(size) ?? 0;
        return [bytes, new PagePool(bytes, topology.nodes, this.sourceOf(bytes))];
      }),
    );
    this.fill(pages, topology.nodes);
  }

  private fill(pages: ReadonlyMap<number, number>, nodeCount: number): void {
    for (const size of this.host.hugePageSizes) {
      const bytes = pageSizeBytes(size) ?? 0;
      for (let node = 0; node < nodeCount; node++) {
        const given = this.host.nodes[node]?.pages?.[size];
        const input: Partial<PagesInput> =
          typeof given === "object" ? given : given === undefined ? {} : { total: given };
        const total = input.total ?? shareOf(pages.get(bytes) ?? 0, node, nodeCount);
        const pool = this.pools.get(bytes);
        pool?.fill(node, total, input.used ?? 0);
        if (pool !== undefined) pool.reserved += input.reserved ?? 0;
        const now = input.obtainable ?? Number.POSITIVE_INFINITY;
        this.obtainable.set(`${node} ${bytes}`, { now, compacted: input.obtainableCompacted ?? now });
      }
    }
  }

  /** The pool of the default size, which meminfo reports. */
  get defaultPool(): PagePool | undefined {
    return this.pools.get(pageSizeBytes(this.host.defaultHugePage) ?? 0);
  }

  /** A node's memory. */
  figures(node: number): NodeFigures {
    return this.nodes[node] ?? { total: 0, free: 0, cached: 0 };
  }

  /** Returns how many more pages of a size a node can provide at this moment. */
  obtainableOf(node: number, pageBytes: number): number {
    const limit = this.obtainable.get(`${node} ${pageBytes}`)?.now ?? Number.POSITIVE_INFINITY;
    return Math.max(0, Math.min(limit, Math.floor(this.figures(node).free / pageBytes)));
  }

  /** A write to compact_memory: fragments of free memory become whole pages. */
  compact(node?: number): void {
    for (const [key, limits] of this.obtainable) {
      if (node !== undefined && !key.startsWith(`${node} `)) continue;
      limits.now = Math.max(limits.now, limits.compacted);
    }
  }

  /** A write to drop_caches. */
  dropCaches(): void {
    for (const node of this.nodes) {
      node.free += node.cached;
      node.cached = 0;
    }
  }

  private sourceOf(pageBytes: number): Source {
    return {
      take: (node, count) => this.make(node, pageBytes, count),
      giveBack: (page) => {
        const key = `${page.node} ${pageBytes}`;
        const limits = this.obtainable.get(key);
        if (limits !== undefined) {
          limits.now += 1;
          limits.compacted += 1;
        }
        this.figures(page.node).free += pageBytes;
        this.spare.set(key, [...(this.spare.get(key) ?? []), page]);
      },
    };
  }

  private make(node: number, pageBytes: number, count: number): Page[] {
    const key = `${node} ${pageBytes}`;
    const got = Math.min(count, this.obtainableOf(node, pageBytes));
    const limits = this.obtainable.get(key);
    if (limits !== undefined) {
      limits.now -= got;
      limits.compacted -= got;
    }
    this.figures(node).free -= got * pageBytes;
    const spare = this.spare.get(key) ?? [];
    const pages = spare.splice(0, got).sort((a, b) => a.frame - b.frame);
    while (pages.length < got) pages.push({ frame: this.freshFrame(node, pageBytes), node });
    return this.inOrder(pages);
  }

  /** Returns the next frames of a node: each page size has its own part of the node. */
  private freshFrame(node: number, pageBytes: number): number {
    const key = `${node} ${pageBytes}`;
    const pageFrames = pageBytes / SMALL_PAGE;
    const sizeIndex = [...this.pools.keys()].indexOf(pageBytes);
    const first = (1 + node * (1 + this.host.hugePageSizes.length) + Math.max(0, sizeIndex)) * framesOfNode;
    const index = this.nextFrame.get(key) ?? 0;
    this.nextFrame.set(key, index + 1);
    const { runPages } = this.host;
    const gaps = runPages === 0 ? 0 : Math.floor(index / runPages);
    return first + (index + gaps) * pageFrames;
  }

  private inOrder(pages: Page[]): Page[] {
    const { pageOrder } = this.host;
    if (pageOrder === "descending") return pages.reverse();
    if (pageOrder === "shuffled") {
      for (let last = pages.length - 1; last > 0; last--) {
        const other = Math.floor(this.nextRandom() * (last + 1));
        const [a, b] = [pages[last], pages[other]];
        if (a !== undefined && b !== undefined) [pages[last], pages[other]] = [b, a];
      }
    }
    return pages;
  }

  /** Returns a number from 0 to 1, in the same sequence for the same seed (a linear congruence of 32 bits). */
  private nextRandom(): number {
    this.random = (Math.imul(this.random, 1_664_525) + 1_013_904_223) >>> 0;
    return this.random / 2 ** 32;
  }
}

/** Returns a node's share of a number that the kernel spreads over all nodes. */
function shareOf(total: number, node: number, nodeCount: number): number {
  return Math.floor(total / nodeCount) + (node < total % nodeCount ? 1 : 0);
}

function hugeBytes(given: Partial<NodeInput>, pages: ReadonlyMap<number, number>, nodeCount: number): number {
  let sum = 0;
  for (const [bytes, count] of pages) sum += bytes * Math.ceil(count / nodeCount);
  for (const [size, input] of Object.entries(given.pages ?? {})) {
    const bytes = pageSizeBytes(size) ?? 0;
    sum += bytes * (typeof input === "number" ? input : (input.total ?? 0));
    sum -= bytes * Math.ceil((pages.get(bytes) ?? 0) / nodeCount);
  }
  return sum;
}
