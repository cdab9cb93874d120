/** Huge pages for the launcher: the machine's own, or a stand-in with its own pool. */

import type { Donor } from "./driver/donation.ts";
import type { Page } from "./memory/page-pool.ts";
import type { Notification } from "./notification.ts";
import type { Scenario } from "./scenario.ts";
import { E } from "./sys/errno.ts";
import { closeFd, identityOf, makeHugeTmpfs, makeMemfd, makeNamelessFile, UseWatch } from "./sys/files.ts";
import { HUGE_PAGE, MAGIC, MAP, MFD } from "./sys/kernel.ts";
import { fixedBytes } from "./sys/libc.ts";
import { identityOfDescriptor, type MappedRange } from "./sys/processes.ts";

const GIGANTIC_PAGE = 1024 ** 3;

interface StandInFile {
  identity: string;
  pageBytes: number;
  /** Pages of the file that have been mapped and therefore are reserved. */
  pages: Set<number>;
  watch: number;
}

interface Account {
  total: number;
  reserved: number;
  /** Pages that the driver has leaked. */
  leaked: number;
}

/** The pool of huge pages. */
export class HugePages {
  /** Whether the stand-in's files are mapped at 2 MiB boundaries. If not, the alignment is not checked. */
  readonly aligned: boolean;
  private readonly uses = new UseWatch();
  private readonly directory: number | undefined;
  private readonly files = new Map<string, StandInFile>();
  private readonly accounts: Map<number, Account>;

  constructor(
    scenario: Scenario,
    /** Whether huge pages are emulated. */
    readonly standIn: boolean,
  ) {
    this.directory = standIn ? makeHugeTmpfs() : undefined;
    this.aligned = !standIn || this.directory !== undefined;
    this.accounts = new Map([
      [HUGE_PAGE, { total: scenario.hugePages, reserved: 0, leaked: 0 }],
      [GIGANTIC_PAGE, { total: scenario.hugePages1G, reserved: 0, leaked: 0 }],
    ]);
  }

  /** The page size of an emulated file, undefined if it is none. */
  pageSize(identity: string): number | undefined {
    return this.files.get(identity)?.pageBytes;
  }

  /** Pages of a size: all, and those that are neither used nor reserved. */
  account(pageBytes: number): { total: number; free: number; leaked: number } {
    this.collect();
    const { total, reserved, leaked } = this.accounts.get(pageBytes) ?? { total: 0, reserved: 0, leaked: 0 };
    return { total, free: total - reserved - leaked, leaked };
  }

  /**
   * Returns the pages behind a piece of a range, as a donation takes them; undefined if they are unknown, null if one
   * is missing.
   */
  pagesBehind(_donor: Donor, _range: MappedRange, _at: number, _length: number): Page[] | undefined | null {
    return undefined;
  }

  /** Removes a page from the pool for good, as a failed donation does. */
  leak(_page?: Page): void {
    const account = this.accounts.get(HUGE_PAGE);
    if (account !== undefined) account.leaked += 1;
  }

  /** memfd_create with MFD_HUGETLB: returns a file that stands in for one in hugetlbfs. */
  create(request: Notification): void {
    if (!this.standIn) return request.proceed();
    const flags = request.u32(1);
    const shift = (flags >>> MFD.HUGE_SHIFT) & MFD.HUGE_MASK;
    const pageBytes = shift === 0 ? HUGE_PAGE : 2 ** shift;
    if (!this.accounts.has(pageBytes)) return request.fail(E.ENODEV); // fs/hugetlbfs/inode.c: hugetlb_file_setup
    const made = this.install(request, (flags & MFD.CLOEXEC) !== 0);
    if (made !== undefined) this.files.set(made.identity, { ...made, pageBytes, pages: new Set() });
  }

  /** Installs a new file in the caller; returns its identity and its watch, undefined if it could not be created. */
  protected install(
    request: Notification,
    closeOnExec: boolean,
  ): { identity: string; watch: number } | undefined {
    const fd =
      this.directory === undefined
        ? makeMemfd("hugepages", new Uint8Array())
        : makeNamelessFile(this.directory);
    if (fd < 0) {
      request.fail(-fd);
      return undefined;
    }
    const identity = identityOf("", fd) ?? "";
    const watch = this.uses.untilUnused(fd);
    request.replyWithFd(fd, closeOnExec);
    closeFd(fd); // the end of the file is only seen if it is not open here
    return { identity, watch };
  }

  /** The watches of files that are no longer in use. */
  protected endedUses(): Set<number> {
    return this.uses.ended();
  }

  /** fcntl(F_ADD_SEALS): the stand-in file cannot be sealed as a memfd can, so the call only appears to succeed. */
  seal(request: Notification): void {
    const identity = identityOfDescriptor(request.tid, request.i32(0)) ?? "";
    if (this.pageSize(identity) !== undefined) request.reply(0);
    else request.proceed();
  }

  /** fstatfs: reports a file in hugetlbfs, whose block size launchers use as the page size. */
  fileSystem(request: Notification): void {
    const pageBytes = this.pageSize(identityOfDescriptor(request.tid, request.i32(0)) ?? "");
    if (pageBytes === undefined) return request.proceed();
    const answer = fixedBytes(120); // struct statfs (asm-generic/statfs.h): type at 0, block size at 8, fragment at 72
    const view = new DataView(answer.buffer);
    view.setBigUint64(0, BigInt(MAGIC.HUGETLBFS), true);
    view.setBigUint64(8, BigInt(pageBytes), true);
    view.setBigUint64(72, BigInt(pageBytes), true);
    if (request.write(request.wide(1), answer)) request.reply(0);
    else request.fail(E.EFAULT);
  }

  /** mmap of a file: reserves pages as hugetlbfs does, all of them or none. */
  map(request: Notification): void {
    const file = this.files.get(identityOfDescriptor(request.tid, request.i32(4)) ?? "");
    if (file === undefined) return request.proceed();
    this.collect();
    const { pageBytes } = file;
    const [address, length, offset] = [request.wide(0), request.wide(1), request.wide(5)];
    const fixed = (request.u32(3) & MAP.FIXED) !== 0;
    if (offset % pageBytes !== 0 || length === 0) return request.fail(E.EINVAL);
    if (fixed && address % pageBytes !== 0) return request.fail(E.EINVAL);
    const fresh: number[] = [];
    for (let page = offset / pageBytes; page < (offset + length) / pageBytes; page++) {
      if (!file.pages.has(page)) fresh.push(page);
    }
    const account = this.accounts.get(pageBytes);
    if (account === undefined || fresh.length > account.total - account.reserved - account.leaked) {
      return request.fail(E.ENOMEM);
    }
    account.reserved += fresh.length;
    for (const page of fresh) file.pages.add(page);
    request.proceed();
  }

  /** Returns the pages of files that are no longer in use. */
  collect(): void {
    const ended = this.uses.ended();
    if (ended.size === 0) return;
    for (const file of [...this.files.values()]) {
      if (!ended.has(file.watch)) continue;
      const account = this.accounts.get(file.pageBytes);
      if (account !== undefined) account.reserved -= file.pages.size;
      this.files.delete(file.identity);
    }
  }
}
