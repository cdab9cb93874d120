/**
 * /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst): for each small page of an address space, eight bytes
 * with whether it is present and, for privileged readers, its frame. The descriptor is one of an empty file. When a
 * pread, or an lseek before a read, arrives, the supervisor writes the entries that it will read into the file, and the
 * kernel executes the call.
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
/** Entries that are prepared if the number that will be read is not known. */
const readAhead = 65_536;
const mostAtOnce = 1 << 20;

/**
 * Whether a process has touched a page of a range since it mapped it: one of the stand-in's small pages is in its page
 * table.
 */
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

  /** Installs a page map in the caller; returns false if that is not permitted. */
  install(request: Notification, pid: number, flags: number): void {
    const fd = makeMemfd("pagemap", new Uint8Array());
    // The process that opens it determines what it shows (pagemap_open, pagemap_read).
    this.open.set(identityOf("", fd) ?? "", { pid, privileged: hasCapability(request.pid, CAP_SYS_ADMIN) });
    request.replyWithFd(fd, (flags & O.CLOEXEC) !== 0);
    // The descriptor stays open here as well, so that its identity is never reused.
  }

  /** pread64 and lseek: prepares the entries that will be read, then lets the kernel execute the call. */
  prepare(request: Notification, offset: number, length = readAhead * ENTRY_BYTES): void {
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

  /** Replaces the stand-in's frames by the emulated ones, and hides all frames from unprivileged readers. */
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
