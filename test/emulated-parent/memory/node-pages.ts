/**
 * Huge pages with a location: each page of a stand-in file is one of the kernel's pool, on a node and with a physical
 * address. mmap reserves pages; fallocate, MADV_POPULATE_*, MAP_POPULATE and a donation take them. The supervisor does
 * not see a touch of a page. It takes such a page when a call asks for it (a donation, move_pages, get_mempolicy, the
 * page map, fallocate), by the policy of that moment.
 */
import type { Donor } from "../driver/donation.ts";
import { HugePages } from "../huge-pages.ts";
import type { Notification } from "../notification.ts";
import { E } from "../sys/errno.ts";
import { identityOf } from "../sys/files.ts";
import { MAP, MFD, MPOL } from "../sys/kernel.ts";
import { identityOfDescriptor, type MappedRange, mappedRanges } from "../sys/processes.ts";
import type { Instance } from "../topology/instance.ts";
import type { Page, PagePool } from "./page-pool.ts";
import { nodeOrder, Policies, type Policy } from "./policies.ts";

/** A stand-in file whose pages have locations. */
export interface PlacedFile {
  identity: string;
  pageBytes: number;
  pool: PagePool;
  /** Pages by their index in the file. */
  pages: Map<number, Page>;
  /** Pages that are reserved and not taken. */
  promised: Set<number>;
  watch: number;
}

/** A part of an address space that maps a stand-in file. */
export interface PlacedRange {
  start: number;
  end: number;
  /** Its offset in the file. */
  offset: number;
  file: PlacedFile;
}

/** The thread that takes a page. */
interface Taker {
  pid: number;
  tid: number;
}

/** The nodes' huge pages. */
export class NodePages extends HugePages {
  readonly policies = new Policies();
  /** The node that a thread runs on. */
  nodeOfThread: (tid: number) => number;
  private readonly placed = new Map<string, PlacedFile>();
  private readonly lost = new Set<Page>();

  constructor(private readonly instance: Instance) {
    super(instance.scenario, true);
    this.nodeOfThread = () => instance.scenario.host.localNode;
    instance.memory.refresh = () => this.collect();
  }

  /** The nodes that the control group allows. */
  get allowedNodes(): number[] {
    const all = Array.from({ length: this.instance.topology.nodes }, (_, node) => node);
    return this.instance.cgroups.allowed("mems", all);
  }

  override account(pageBytes: number): { total: number; free: number; leaked: number } {
    this.collect();
    const pool = this.instance.memory.pools.get(pageBytes);
    return { total: pool?.sums.total ?? 0, free: pool?.sums.free ?? 0, leaked: pool?.leaked ?? 0 };
  }

  override pageSize(identity: string): number | undefined {
    return this.placed.get(identity)?.pageBytes;
  }

  /** Returns the file behind one of a process's descriptors. */
  fileOf(request: Notification, descriptor: number): PlacedFile | undefined {
    return this.placed.get(identityOfDescriptor(request.tid, descriptor) ?? "");
  }

  /** Returns the parts of a process's address space, within a range, that map stand-in files. */
  rangesOf(pid: number, from = 0, to = Number.POSITIVE_INFINITY): PlacedRange[] {
    if (this.placed.size === 0) return [];
    return mappedRanges(pid, from, to).flatMap(({ start, end, offset, link, shared }) => {
      const file = shared ? this.placed.get(identityOf(link) ?? "") : undefined;
      return file === undefined ? [] : [{ start, end, offset, file }];
    });
  }

  override create(request: Notification): void {
    const flags = request.u32(1);
    const shift = (flags >>> MFD.HUGE_SHIFT) & MFD.HUGE_MASK;
    const { memory } = this.instance;
    const pool = shift === 0 ? memory.defaultPool : memory.pools.get(2 ** shift);
    if (pool === undefined) return request.fail(E.ENODEV);
    const made = this.install(request, (flags & MFD.CLOEXEC) !== 0);
    if (made === undefined) return;
    this.placed.set(made.identity, {
      ...{ ...made, pageBytes: pool.pageBytes, pool },
      ...{ pages: new Map(), promised: new Set() },
    });
  }

  /** mmap: reserves pages that are not reserved yet, all of them or none (hugetlb_reserve_pages). */
  override map(request: Notification): void {
    const file = this.fileOf(request, request.i32(4));
    if (file === undefined) return request.proceed();
    this.collect();
    const { pageBytes } = file;
    const [address, length, offset] = [request.wide(0), request.wide(1), request.wide(5)];
    const flags = request.u32(3);
    const fixed = (flags & MAP.FIXED) !== 0;
    if (offset % pageBytes !== 0 || length === 0) return request.fail(E.EINVAL);
    if (fixed && address % pageBytes !== 0) return request.fail(E.EINVAL);
    const indices = pagesIn(offset, length, pageBytes);
    const fresh = indices.filter((index) => !file.pages.has(index) && !file.promised.has(index));
    if ((flags & MAP.NORESERVE) === 0 && !this.promise(file, fresh, request)) return request.fail(E.ENOMEM);
    if (fixed) this.policies.setRange(request.pid, address, address + length, undefined);
    if ((flags & MAP.POPULATE) !== 0) {
      const policy = this.policies.ofThread(request.tid, request.pid);
      for (const index of indices) if (this.take(file, index, policy, request.tid) === undefined) break;
    }
    request.proceed();
  }

  private promise(file: PlacedFile, fresh: readonly number[], taker: Taker): boolean {
    const { cgroups } = this.instance;
    const bytes = fresh.length * file.pageBytes;
    const policy = this.policies.ofThread(taker.tid, taker.pid);
    const nodes = policy.mode === MPOL.BIND ? policy.nodes : this.allowedNodes;
    if (bytes > cgroups.left(file.pageBytes, "reserved")) return false;
    if (!file.pool.reserve(fresh.length, nodes)) return false;
    cgroups.charge(file.pageBytes, "reserved", bytes);
    for (const index of fresh) file.promised.add(index);
    return true;
  }

  /** Takes a page of the pool for a page of a file, unless it has one; undefined if none is available. */
  take(file: PlacedFile, index: number, policy: Policy, tid: number): Page | undefined {
    const known = file.pages.get(index);
    if (known !== undefined) return known;
    const { cgroups } = this.instance;
    const { pool, pageBytes } = file;
    const allowed = this.allowedNodes;
    if (cgroups.left(pageBytes, "used") < pageBytes) return undefined;
    const promised = file.promised.has(index);
    if (!promised && !pool.reserve(1, allowed)) return undefined;
    const page = pool.take(nodeOrder(policy, this.nodeOfThread(tid), allowed, index));
    if (page === undefined) {
      if (!promised) pool.reserved -= 1;
      return undefined;
    }
    pool.reserved -= 1;
    if (promised) file.promised.delete(index);
    else cgroups.charge(pageBytes, "reserved", pageBytes);
    cgroups.charge(pageBytes, "used", pageBytes);
    file.pages.set(index, page);
    return page;
  }

  /** Returns the page behind an address, and takes it as a touch would. */
  touch(range: PlacedRange, address: number, taker: Taker): Page | undefined {
    const index = Math.floor((address - range.start + range.offset) / range.file.pageBytes);
    const policy =
      this.policies.ofAddress(taker.pid, address) ?? this.policies.ofThread(taker.tid, taker.pid);
    return this.take(range.file, index, policy, taker.tid);
  }

  override pagesBehind(
    donor: Donor,
    mapped: MappedRange,
    at: number,
    length: number,
  ): Page[] | undefined | null {
    const file = this.placed.get(identityOf(mapped.link) ?? "");
    if (file === undefined) return undefined;
    const range = { start: mapped.start, end: mapped.end, offset: mapped.offset, file };
    const pages: Page[] = [];
    for (let address = at; address < at + length; address += file.pageBytes) {
      const page = this.touch(range, address, donor);
      if (page === undefined) return null;
      pages.push(page);
    }
    return pages;
  }

  /** Moves a page of a file to another node; false if that node has no free page. */
  move(file: PlacedFile, index: number, node: number): boolean {
    const page = file.pages.get(index);
    if (page === undefined || page.node === node) return true;
    const { pool } = file;
    const fresh = pool.sums.free > pool.reserved ? pool.take([node]) : undefined;
    if (fresh === undefined) return false;
    file.pages.set(index, fresh);
    pool.giveBack(page);
    return true;
  }

  /** Frees pages of a file, the first first, as the end of a file does. */
  release(file: PlacedFile, first: number, end: number): void {
    const { cgroups } = this.instance;
    const { pool, pageBytes } = file;
    const inside = (index: number): boolean => index >= first && index < end;
    for (const index of [...file.pages.keys()].filter(inside).sort((a, b) => a - b)) {
      const page = file.pages.get(index);
      file.pages.delete(index);
      if (page === undefined) continue;
      cgroups.charge(pageBytes, "used", -pageBytes);
      cgroups.charge(pageBytes, "reserved", -pageBytes);
      if (!this.lost.has(page)) pool.giveBack(page);
    }
    for (const index of [...file.promised].filter(inside)) {
      file.promised.delete(index);
      pool.reserved -= 1;
      cgroups.charge(pageBytes, "reserved", -pageBytes);
    }
  }

  /** The page of a refused donation is lost for good: the driver keeps its reference. */
  override leak(page?: Page): void {
    if (page === undefined || this.lost.has(page)) return;
    this.lost.add(page);
    for (const file of this.placed.values()) {
      if ([...file.pages.values()].includes(page)) file.pool.leaked += 1;
    }
  }

  override collect(): void {
    const ended = this.endedUses();
    if (ended.size === 0) return;
    for (const file of [...this.placed.values()]) {
      if (!ended.has(file.watch)) continue;
      this.release(file, 0, Number.POSITIVE_INFINITY);
      this.placed.delete(file.identity);
    }
  }
}

/** Returns the indexes of the pages that overlap a range of a file. */
export function pagesIn(offset: number, length: number, pageBytes: number): number[] {
  const first = Math.floor(offset / pageBytes);
  const end = Math.ceil((offset + length) / pageBytes);
  return Array.from({ length: Math.max(0, end - first) }, (_, index) => first + index);
}
