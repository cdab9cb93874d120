/**
 * Memory policies (mm/mempolicy.c): of a thread, as set by set_mempolicy(2), and of a range of addresses, as set by
 * mbind(2). A touch of a huge page uses the range's policy, or else the thread's; fallocate(2) uses the thread's only.
 */
import { readdirSync } from "node:fs";
import { E } from "../sys/errno.ts";
import { readShortFile } from "../sys/files.ts";
import { MPOL, MPOL_FLAGS } from "../sys/kernel.ts";

/** A policy; `nodes` are those that exist and are allowed. */
export interface Policy {
  mode: number;
  /** The flags that were given with the mode. */
  flags: number;
  nodes: readonly number[];
}

/** No policy: memory comes from the node that the program runs on. */
export const DEFAULT_POLICY: Policy = { mode: MPOL.DEFAULT, flags: 0, nodes: [] };

interface Range {
  start: number;
  end: number;
  policy: Policy;
}

/**
 * Returns a mode with its flags and nodes as the kernel stores them (mpol_new, mpol_set_nodemask), or the negated
 * errno.
 */
export function makePolicy(
  word: number,
  given: readonly number[],
  allowed: readonly number[],
): Policy | number {
  const flags = word & MPOL_FLAGS.ALL;
  const mode = word & ~MPOL_FLAGS.ALL;
  const bound = flags & (MPOL_FLAGS.STATIC_NODES | MPOL_FLAGS.RELATIVE_NODES);
  if (mode < 0 || mode > MPOL.WEIGHTED_INTERLEAVE) return -E.EINVAL;
  if (bound === (MPOL_FLAGS.STATIC_NODES | MPOL_FLAGS.RELATIVE_NODES)) return -E.EINVAL;
  if ((flags & MPOL_FLAGS.NUMA_BALANCING) !== 0 && mode !== MPOL.BIND && mode !== MPOL.PREFERRED_MANY)
    return -E.EINVAL;
  if (mode === MPOL.DEFAULT || mode === MPOL.LOCAL) {
    if (given.length > 0 || bound !== 0) return -E.EINVAL;
    return { mode, flags, nodes: [] };
  }
  if (given.length === 0) {
    return mode === MPOL.PREFERRED && bound === 0 ? { mode: MPOL.LOCAL, flags, nodes: [] } : -E.EINVAL;
  }
  const nodes = given.filter((node) => allowed.includes(node));
  if (nodes.length === 0) return -E.EINVAL;
  return { mode, flags, nodes: mode === MPOL.PREFERRED ? nodes.slice(0, 1) : nodes };
}

/** Returns the nodes that a page comes from, the best first. @param index the page's index in its file. */
export function nodeOrder(
  policy: Policy,
  local: number,
  allowed: readonly number[],
  index: number,
): readonly number[] {
  const from = (first: number, nodes: readonly number[]): number[] => [
    ...nodes.filter((node) => node === first),
    ...nodes.filter((node) => node !== first),
  ];
  const { mode, nodes } = policy;
  switch (mode) {
    case MPOL.BIND:
      return from(
        local,
        nodes.filter((node) => allowed.includes(node)),
      );
    case MPOL.PREFERRED:
      return from(nodes[0] ?? local, allowed);
    case MPOL.PREFERRED_MANY: {
      const first = from(local, nodes);
      return [...first, ...allowed.filter((node) => !first.includes(node))];
    }
    case MPOL.INTERLEAVE:
    case MPOL.WEIGHTED_INTERLEAVE:
      return from(nodes[index % nodes.length] ?? local, allowed);
    default:
      return from(local, allowed);
  }
}

/** The policies of all threads and ranges. */
export class Policies {
  private readonly threads = new Map<number, Policy>();
  private readonly ranges = new Map<number, Range[]>();

  /** Returns a thread's own policy, or that of the process's first thread, or that of the process that started it. */
  ofThread(tid: number, pid: number): Policy {
    const own = this.threads.get(tid) ?? this.threads.get(pid);
    if (own !== undefined || this.threads.size === 0) return own ?? DEFAULT_POLICY;
    for (let at = parentOf(pid); at > 1; at = parentOf(at)) {
      const inherited = this.threads.get(at);
      if (inherited !== undefined) return inherited;
    }
    return DEFAULT_POLICY;
  }

  /** Sets a thread's policy. Threads that it has started keep the policy that it had then. */
  setThread(tid: number, pid: number, policy: Policy): void {
    const former = this.ofThread(tid, pid);
    for (const other of threadsOf(pid)) if (!this.threads.has(other)) this.threads.set(other, former);
    this.threads.set(tid, policy);
  }

  /** Returns the policy of an address; undefined if the thread's applies. */
  ofAddress(pid: number, address: number): Policy | undefined {
    const range = this.ranges.get(pid)?.find(({ start, end }) => start <= address && address < end);
    return range === undefined || range.policy.mode === MPOL.DEFAULT ? undefined : range.policy;
  }

  /** Sets the policy of a range; undefined removes it, as a new mapping or munmap(2) does. */
  setRange(pid: number, start: number, end: number, policy: Policy | undefined): void {
    const known = this.ranges.get(pid) ?? [];
    if (known.length === 0 && policy === undefined) return;
    const left = known.flatMap((range) => {
      const before = { ...range, end: Math.min(range.end, start) };
      const after = { ...range, start: Math.max(range.start, end) };
      return [before, after].filter((part) => part.start < part.end);
    });
    if (policy !== undefined) left.push({ start, end, policy });
    this.ranges.set(pid, left);
  }

  /** execve(2) removes all ranges. */
  forgetRanges(pid: number): void {
    this.ranges.delete(pid);
  }
}

function threadsOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return []; // the process has exited
  }
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s*(\d+)/m.exec(readShortFile(`/proc/${pid}/status`) ?? "")?.[1] ?? 0);
}
