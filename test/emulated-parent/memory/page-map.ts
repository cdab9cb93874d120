/**
 * /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst): for each small page of an address space, eight bytes that
 * tell whether it is there and, to the privileged, in which frame. What is handed out is an empty file; the entries that a
 * pread or the read after an lseek will find are put into it when these calls arrive, and the kernel does the rest.
 */

import { CAP_SYS_ADMIN, hasCapability } from "../files/permission.ts";
import type { Notification } from "../notification.ts";
import { closeFd, identityOf, makeMemfd, openFile, readAt, writeAt } from "../sys/files.ts";
import { O } from "../sys/kernel.ts";
import { copyDescriptor, identityOfDescriptor } from "../sys/processes.ts";
import type { NodePages, PlacedRange } from "./node-pages.ts";

const SMALL_PAGE = 4096;
const ENTRY_BYTES = 8;
const PRESENT = 1n << 63n;
const FILE_OR_SHARED = 1n << 61n;
const FRAME_MASK = (1n << 55n) - 1n;
/** Entries that are put there when it is not known how many will be read. */
const lookAhead = 65_536;
const mostAtOnce = 1 << 20;

/** Whether a process has touched a page of a range since it mapped it: any small page of the stand-in is in its table. */
export function isInTable(pid: number, range: PlacedRange, address: number): boolean {
  const { pageBytes } = range.file;
  const from = Math.max(range.start, address - ((address - range.start + range.offset) % pageBytes));
  const to = Math.min(range.end, from + pageBytes);
  const fd = openFile(`/proc/${pid}/pagemap`, 0);
  if (fd < 0) return false;
  try {
    for (let at = from; at < to; at += mostAtOnce * SMALL_PAGE) {
      const count = Math.min(mostAtOnce, (to - at) / SMALL_PAGE);
      const entries = readAt(fd, count * ENTRY_BYTES, (at / SMALL_PAGE) * ENTRY_BYTES);
      for (let byte = 7; byte < entries.length; byte += ENTRY_BYTES)
        if (((entries[byte] ?? 0) & 0x80) !== 0) return true;
    }
    return false;
  } finally {
    closeFd(fd);
  }
}

interface OpenMap {
  pid: number;
  privileged: boolean;
}

/** The open page maps. */
export class PageMaps {
  private readonly open = new Map<string, OpenMap>();

  constructor(private readonly pages: NodePages) {}

  /** Hands out a page map; gives false where it may not be had. */
  handOut(request: Notification, pid: number, flags: number): void {
    const fd = makeMemfd("pagemap", new Uint8Array());
    // Who opens it decides once and for all what it tells (pagemap_open, pagemap_read).
    this.open.set(identityOf("", fd) ?? "", { pid, privileged: hasCapability(request.pid, CAP_SYS_ADMIN) });
    request.replyWithFd(fd, (flags & O.CLOEXEC) !== 0);
    // The descriptor stays ours as well, so that its identity never becomes another file's.
  }

  /** pread64 and lseek: makes what will be read ready, then lets the kernel go on. */
  prepare(request: Notification, offset: number, length = lookAhead * ENTRY_BYTES): void {
    const map =
      this.open.size === 0
        ? undefined
        : this.open.get(identityOfDescriptor(request.tid, request.i32(0)) ?? "");
    if (map !== undefined) this.fill(request, map, offset, length);
    request.proceed();
  }

  private fill(request: Notification, map: OpenMap, offset: number, length: number): void {
    const target = copyDescriptor(request.pid, request.i32(0));
    const source = openFile(`/proc/${map.pid}/pagemap`, 0);
    const first = offset - (offset % ENTRY_BYTES);
    const end = Math.ceil((offset + length) / ENTRY_BYTES) * ENTRY_BYTES;
    if (target >= 0 && source >= 0) {
      const toAddress = (place: number): number => (place / ENTRY_BYTES) * SMALL_PAGE;
      const ranges = this.pages.rangesOf(map.pid, toAddress(first), toAddress(end));
      for (let at = first; at < end; at += mostAtOnce) {
        const entries = readAt(source, Math.min(mostAtOnce, end - at), at);
        if (entries.length === 0) break;
        this.describe(entries, toAddress(at), ranges, request, map);
        writeAt(target, entries, at);
      }
    }
    if (source >= 0) closeFd(source);
    if (target >= 0) closeFd(target);
  }

  /** Puts the pages' frames in the place of the stand-in's, and hides all frames from those who may not know them. */
  private describe(
    entries: Uint8Array<ArrayBuffer>,
    start: number,
    ranges: readonly PlacedRange[],
    request: Notification,
    { pid, privileged }: OpenMap,
  ): void {
    const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
    const count = Math.floor(entries.length / ENTRY_BYTES);
    if (!privileged) {
      for (let index = 0; index < count; index++) {
        const entry = view.getBigUint64(index * ENTRY_BYTES, true);
        view.setBigUint64(index * ENTRY_BYTES, entry & ~FRAME_MASK, true);
      }
    }
    for (const range of ranges) {
      const { pageBytes } = range.file;
      const end = Math.min(range.end, start + count * SMALL_PAGE);
      for (let at = Math.max(range.start, start); at < end; ) {
        const inPage = (at - range.start + range.offset) % pageBytes;
        const stop = Math.min(end, at - inPage + pageBytes);
        const there = isInTable(pid, range, at);
        const page = there ? this.pages.touch(range, at, { pid, tid: request.tid }) : undefined;
        for (let small = at; small < stop; small += SMALL_PAGE) {
          const frame = page === undefined ? 0 : page.frame + (small - at + inPage) / SMALL_PAGE;
          const entry =
            page === undefined ? 0n : PRESENT | FILE_OR_SHARED | (privileged ? BigInt(frame) : 0n);
          view.setBigUint64(((small - start) / SMALL_PAGE) * ENTRY_BYTES, entry, true);
        }
        at = stop;
      }
    }
  }
}
