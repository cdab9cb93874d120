/** The system calls about the location of memory: policies, pages and nodes, CPUs that a thread may use. */
import { hasCapability } from "../files/permission.ts";
import type { Notification } from "../notification.ts";
import { E } from "../sys/errno.ts";
import { FALLOC, MADV, MPOL, MPOL_F, MPOL_MF, NR } from "../sys/kernel.ts";
import { fixedBytes } from "../sys/libc.ts";
import type { Instance } from "../topology/instance.ts";
import { type NodePages, type PlacedRange, pagesIn } from "./node-pages.ts";
import { isInTable, PageMaps } from "./page-map.ts";
import { makePolicy, type Policy } from "./policies.ts";

type Detail = Record<string, unknown>;

const SMALL_PAGE = 4096;
const mostMaskBits = 8 * SMALL_PAGE; // mm/mempolicy.c: get_bitmap
const CAP_SYS_NICE = 23; // linux/capability.h
const mostPages = 2 ** 22;

/** Answers these calls. */
export class MemoryCalls {
  readonly pageMaps: PageMaps;
  private readonly affinities = new Map<number, number[]>();

  constructor(
    private readonly pages: NodePages,
    private readonly instance: Instance,
  ) {
    this.pageMaps = new PageMaps(pages);
    pages.nodeOfThread = (tid) => this.nodeOf(tid);
  }

  /** Called when a process executes another program. */
  forget(pid: number): void {
    this.pages.policies.forgetRanges(pid);
  }

  /**
   * Answers a call. Returns the details for the trace; undefined if it has nothing to do with the emulation; null if
   * another part answers it.
   */
  serve(request: Notification): Detail | undefined | null {
    switch (request.nr) {
      case NR.set_mempolicy:
        return this.setThread(request);
      case NR.mbind:
        return this.setRange(request);
      case NR.get_mempolicy:
        return this.getPolicy(request);
      case NR.move_pages:
        return this.movePages(request);
      case NR.fallocate:
        return this.allocate(request);
      case NR.madvise:
        return this.populate(request);
      case NR.ftruncate:
        return this.truncate(request);
      case NR.munmap:
        this.pages.policies.setRange(
          request.pid,
          request.wide(0),
          request.wide(0) + request.wide(1),
          undefined,
        );
        return pass(request);
      case NR.pread64:
        this.pageMaps.prepare(request, request.wide(3), request.wide(2));
        return undefined;
      case NR.lseek:
        this.pageMaps.prepare(request, request.wide(1));
        return undefined;
      case NR.sched_setaffinity:
        return this.setAffinity(request);
      case NR.sched_getaffinity:
        return this.getAffinity(request);
      default:
        return null;
    }
  }

  /** set_mempolicy(mode, nodemask, maxnode). */
  private setThread(request: Notification): Detail {
    const policy = this.readPolicy(request, request.i32(0), request.wide(1), request.wide(2));
    if (typeof policy === "number") return refuse(request, -policy);
    this.pages.policies.setThread(request.tid, request.pid, policy);
    request.reply(0);
    return { mode: policy.mode, nodes: policy.nodes };
  }

  /** mbind(addr, len, mode, nodemask, maxnode, flags). */
  private setRange(request: Notification): Detail {
    const [start, length, flags] = [request.wide(0), request.wide(1), request.u32(5)];
    if ((flags & ~(MPOL_MF.STRICT | MPOL_MF.MOVE | MPOL_MF.MOVE_ALL)) !== 0) return refuse(request, E.EINVAL);
    if ((flags & MPOL_MF.MOVE_ALL) !== 0 && !hasCapability(request.pid, CAP_SYS_NICE))
      return refuse(request, E.EPERM);
    if (start % SMALL_PAGE !== 0) return refuse(request, E.EINVAL);
    const policy = this.readPolicy(request, request.i32(2), request.wide(3), request.wide(4));
    if (typeof policy === "number") return refuse(request, -policy);
    const end = start + Math.ceil(length / SMALL_PAGE) * SMALL_PAGE;
    if (end === start) return answer(request, { mode: policy.mode, nodes: policy.nodes });
    this.pages.policies.setRange(request.pid, start, end, policy);
    const misplaced = this.arrange(
      request,
      start,
      end,
      policy,
      (flags & (MPOL_MF.MOVE | MPOL_MF.MOVE_ALL)) !== 0,
    );
    if (misplaced && (flags & MPOL_MF.STRICT) !== 0) return refuse(request, E.EIO);
    return answer(request, { mode: policy.mode, nodes: policy.nodes, bytes: end - start });
  }

  /** Checks pages that exist, and moves them if requested. Returns whether some are on other nodes. */
  private arrange(
    request: Notification,
    start: number,
    end: number,
    policy: Policy,
    moves: boolean,
  ): boolean {
    if (policy.nodes.length === 0) return false;
    let misplaced = false;
    for (const range of this.pages.rangesOf(request.pid, start, end)) {
      const { file } = range;
      const from = Math.max(start, range.start);
      const length = Math.min(end, range.end) - from;
      for (const index of pagesIn(from - range.start + range.offset, length, file.pageBytes)) {
        const page = file.pages.get(index);
        if (page === undefined || policy.nodes.includes(page.node)) continue;
        const moved = moves && policy.nodes.some((node) => this.pages.move(file, index, node));
        if (!moved) misplaced = true;
      }
    }
    return misplaced;
  }

  private readPolicy(request: Notification, mode: number, address: number, bits: number): Policy | number {
    const nodes = readMask(request, address, bits);
    return typeof nodes === "number" ? nodes : makePolicy(mode, nodes, this.pages.allowedNodes);
  }

  /** get_mempolicy(mode*, nodemask*, maxnode, addr, flags). */
  private getPolicy(request: Notification): Detail {
    const [modeAt, maskAt, bits, address] = [0, 1, 2, 3].map((index) => request.wide(index)) as [
      number,
      number,
      number,
      number,
    ];
    const flags = request.u32(4);
    const { nodes: nodeCount } = this.instance.topology;
    if ((flags & ~(MPOL_F.NODE | MPOL_F.ADDR | MPOL_F.MEMS_ALLOWED)) !== 0) return refuse(request, E.EINVAL);
    if (maskAt !== 0 && bits < nodeCount) return refuse(request, E.EINVAL);
    if ((flags & MPOL_F.MEMS_ALLOWED) !== 0) {
      if ((flags & (MPOL_F.NODE | MPOL_F.ADDR)) !== 0) return refuse(request, E.EINVAL);
      return this.writePolicy(request, modeAt, 0, maskAt, bits, this.pages.allowedNodes);
    }
    const { policies } = this.pages;
    const ofThread = policies.ofThread(request.tid, request.pid);
    if ((flags & MPOL_F.ADDR) === 0) {
      if (address !== 0) return refuse(request, E.EINVAL);
      if ((flags & MPOL_F.NODE) !== 0) {
        // The node of the next page of an interleaved allocation; other policies have none.
        if (ofThread.mode !== MPOL.INTERLEAVE) return refuse(request, E.EINVAL);
        return this.writePolicy(request, modeAt, ofThread.nodes[0] ?? 0, maskAt, bits, ofThread.nodes);
      }
      return this.writePolicy(request, modeAt, ofThread.mode | ofThread.flags, maskAt, bits, ofThread.nodes);
    }
    const policy = policies.ofAddress(request.pid, address) ?? ofThread;
    if ((flags & MPOL_F.NODE) === 0)
      return this.writePolicy(request, modeAt, policy.mode | policy.flags, maskAt, bits, policy.nodes);
    const [range] = this.pages.rangesOf(request.pid, address, address + 1);
    const page = range === undefined ? undefined : this.pages.touch(range, address, request);
    if (range !== undefined && page === undefined) return refuse(request, E.EFAULT);
    const node = page?.node ?? this.nodeOf(request.tid);
    return this.writePolicy(request, modeAt, node, maskAt, bits, policy.nodes);
  }

  private writePolicy(
    request: Notification,
    modeAt: number,
    mode: number,
    maskAt: number,
    bits: number,
    nodes: readonly number[],
  ): Detail {
    const word = fixedBytes(4);
    new DataView(word.buffer).setInt32(0, mode, true);
    if (modeAt !== 0 && !request.write(modeAt, word)) return refuse(request, E.EFAULT);
    if (maskAt !== 0) {
      const mask = fixedBytes(Math.ceil(bits / 64) * 8);
      for (const node of nodes) if (node < bits) mask[node >> 3] = (mask[node >> 3] ?? 0) | (1 << (node & 7));
      if (!request.write(maskAt, mask)) return refuse(request, E.EFAULT);
    }
    return answer(request, { mode, nodes });
  }

  /** move_pages(pid, count, pages*, nodes*, status*, flags): reports nodes, or moves pages if nodes are given. */
  private movePages(request: Notification): Detail | undefined {
    const target = request.i32(0) === 0 ? request.pid : request.i32(0);
    const [count, pagesAt, nodesAt, statusAt] = [1, 2, 3, 4].map((index) => request.wide(index)) as [
      number,
      number,
      number,
      number,
    ];
    const flags = request.u32(5);
    if ((flags & ~(MPOL_MF.MOVE | MPOL_MF.MOVE_ALL)) !== 0) return refuse(request, E.EINVAL);
    if ((flags & MPOL_MF.MOVE_ALL) !== 0 && !hasCapability(request.pid, CAP_SYS_NICE))
      return refuse(request, E.EPERM);
    if (count > mostPages) return refuse(request, E.E2BIG);
    if (count === 0) return answer(request, { count });
    const addresses = request.read(pagesAt, 8 * count);
    const nodes = nodesAt === 0 ? undefined : request.read(nodesAt, 4 * count);
    if (addresses === undefined || (nodesAt !== 0 && nodes === undefined)) return refuse(request, E.EFAULT);
    const ranges = this.pages.rangesOf(target);
    const status = fixedBytes(4 * count);
    const view = new DataView(status.buffer);
    const onNodes: Record<number, number> = {};
    let left = 0;
    for (let index = 0; index < count; index++) {
      const address = Number(addresses.getBigUint64(8 * index, true));
      const range = ranges.find(({ start, end }) => start <= address && address < end);
      const result = this.statusOf(request, target, range, address, nodes?.getInt32(4 * index, true));
      if (typeof result === "object") return refuse(request, result.errno);
      view.setInt32(4 * index, result, true);
      onNodes[result] = (onNodes[result] ?? 0) + 1;
      if (nodes !== undefined && result === -E.ENOMEM) left += 1;
    }
    if (!request.write(statusAt, status)) return refuse(request, E.EFAULT);
    request.reply(left);
    return { count, moves: nodes !== undefined, onNodes };
  }

  /** Returns one page's status: its node, or a negated errno; an object if the whole call fails. */
  private statusOf(
    request: Notification,
    pid: number,
    range: PlacedRange | undefined,
    address: number,
    wanted: number | undefined,
  ): number | { errno: number } {
    if (wanted !== undefined) {
      if (wanted < 0 || wanted >= this.instance.topology.nodes) return { errno: E.ENODEV };
      if (!this.pages.allowedNodes.includes(wanted)) return { errno: E.EACCES };
    }
    // Ordinary memory is on the node that programs run on; if nothing is mapped, reading fails.
    if (range === undefined) {
      const isMapped = request.read(address, 1) !== undefined;
      return isMapped ? (wanted ?? this.nodeOf(request.tid)) : -E.EFAULT;
    }
    if (!isInTable(pid, range, address)) return -E.ENOENT;
    const page = this.pages.touch(range, address, { pid, tid: request.tid });
    if (page === undefined) return -E.ENOENT;
    if (wanted === undefined) return page.node;
    const index = Math.floor((address - range.start + range.offset) / range.file.pageBytes);
    return this.pages.move(range.file, index, wanted) ? wanted : -E.ENOMEM;
  }

  /** fallocate(fd, mode, offset, length): takes pages by the thread's policy, or frees them. */
  private allocate(request: Notification): Detail | undefined {
    const file = this.pages.fileOf(request, request.i32(0));
    if (file === undefined) return pass(request);
    this.pages.collect();
    const [mode, offset, length] = [request.u32(1), request.wide(2), request.wide(3)];
    const detail = { bytes: length, offset, pageBytes: file.pageBytes };
    if ((mode & FALLOC.PUNCH_HOLE) !== 0) {
      const first = Math.ceil(offset / file.pageBytes);
      this.pages.release(file, first, Math.floor((offset + length) / file.pageBytes));
      request.proceed();
      return detail;
    }
    if ((mode & ~FALLOC.KEEP_SIZE) !== 0) return refuse(request, E.EOPNOTSUPP);
    const policy = this.pages.policies.ofThread(request.tid, request.pid);
    const onNodes: Record<number, number> = {};
    for (const index of pagesIn(offset, length, file.pageBytes)) {
      const page = this.pages.take(file, index, policy, request.tid);
      if (page === undefined) return { ...detail, ...refuse(request, E.ENOSPC) }; // pages taken so far stay in the file
      onNodes[page.node] = (onNodes[page.node] ?? 0) + 1;
    }
    request.proceed();
    return { ...detail, onNodes };
  }

  /** madvise(addr, length, MADV_POPULATE_READ or _WRITE). */
  private populate(request: Notification): Detail | undefined {
    const [start, length, advice] = [request.wide(0), request.wide(1), request.u32(2)];
    if (advice !== MADV.POPULATE_READ && advice !== MADV.POPULATE_WRITE) return pass(request);
    const ranges = this.pages.rangesOf(request.pid, start, start + length);
    if (ranges.length === 0) return pass(request);
    this.pages.collect();
    const onNodes: Record<number, number> = {};
    for (const range of ranges) {
      const end = Math.min(range.end, start + length);
      const { pageBytes } = range.file;
      for (let at = Math.max(range.start, start); at < end; ) {
        const page = this.pages.touch(range, at, request);
        if (page === undefined) return refuse(request, E.EFAULT); // instead of the SIGBUS of a touch
        onNodes[page.node] = (onNodes[page.node] ?? 0) + 1;
        at += pageBytes - ((at - range.start + range.offset) % pageBytes);
      }
    }
    request.proceed();
    return { bytes: length, onNodes };
  }

  /** ftruncate: whole pages only; those beyond the end are freed. */
  private truncate(request: Notification): Detail | undefined {
    const file = this.pages.fileOf(request, request.i32(0));
    if (file === undefined) return pass(request);
    const length = request.wide(1);
    if (length % file.pageBytes !== 0) return refuse(request, E.EINVAL);
    this.pages.release(file, length / file.pageBytes, Number.POSITIVE_INFINITY);
    return pass(request);
  }

  /**
   * Returns the node of the CPUs that a thread may use, if it is a single one; otherwise the one where programs run.
   */
  private nodeOf(tid: number): number {
    const { topology, scenario } = this.instance;
    const nodes = new Set((this.affinities.get(tid) ?? []).map((cpu) => topology.cpus[cpu]?.node));
    const [node] = nodes;
    return nodes.size === 1 && node !== undefined ? node : scenario.host.localNode;
  }

  /** sched_setaffinity(pid, length, mask): the machine's own CPUs are not changed. */
  private setAffinity(request: Notification): Detail {
    const length = Math.min(request.u32(1), 1024);
    const mask = request.read(request.wide(2), length);
    if (mask === undefined) return refuse(request, E.EFAULT);
    const cpus = this.instance.online.filter(
      (cpu) => cpu >> 3 < length && (mask.getUint8(cpu >> 3) & (1 << (cpu & 7))) !== 0,
    );
    if (cpus.length === 0) return refuse(request, E.EINVAL);
    this.affinities.set(request.i32(0) === 0 ? request.tid : request.i32(0), cpus);
    return answer(request, { cpus });
  }

  /** sched_getaffinity(pid, length, mask): returns the size of the kernel's mask in bytes. */
  private getAffinity(request: Notification): undefined {
    const words = Math.ceil(this.instance.topology.cpus.length / 64);
    const length = request.u32(1);
    if (length < 8 * words || length % 8 !== 0) {
      request.fail(E.EINVAL);
      return;
    }
    const mask = fixedBytes(8 * words);
    const cpus = this.affinities.get(request.i32(0) === 0 ? request.tid : request.i32(0));
    for (const cpu of cpus ?? this.instance.online) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7));
    if (request.write(request.wide(2), mask)) request.reply(8 * words);
    else request.fail(E.EFAULT);
  }
}

/**
 * Returns the nodes of a mask (get_nodes), of which the kernel reads one bit less than the caller says; or the negated
 * errno.
 */
function readMask(request: Notification, address: number, bits: number): number[] | number {
  const count = bits - 1;
  if (count <= 0 || address === 0) return [];
  if (count > mostMaskBits) return -E.EINVAL;
  const mask = request.read(address, Math.ceil(count / 64) * 8);
  if (mask === undefined) return -E.EFAULT;
  const nodes: number[] = [];
  for (let node = 0; node < count; node++) {
    if ((mask.getUint8(node >> 3) & (1 << (node & 7))) !== 0) nodes.push(node);
  }
  return nodes.some((node) => node >= 1024) ? -E.EINVAL : nodes; // CONFIG_NODES_SHIFT is at most 10
}

function pass(request: Notification): undefined {
  request.proceed();
}

function refuse(request: Notification, errno: number): Detail {
  request.fail(errno);
  return {};
}

function answer(request: Notification, detail: Detail): Detail {
  request.reply(0);
  return detail;
}
