/**
 * File descriptors that other programs passed: named ones (QMP's getfd), and sets, which are opened as /dev/fdset/ID
 * (-add-fd, QMP's add-fd). As in QEMU, a named one belongs to the device that uses it; one of a set is duplicated.
 */
import { duplicateFd, statusFlags } from "../sys/descriptor-flags.ts";
import { SyscallError } from "../sys/errors.ts";
import { fdStatus } from "../sys/file-status.ts";
import type { Fd } from "../sys/files.ts";
import { ERRNO } from "../sys/linux/errno.ts";
import { O_ACCMODE, O_TRUNC } from "../sys/linux/fcntl.ts";
import { S_IFREG } from "../sys/linux/stat.ts";
import { resultOrErrno, type System } from "../sys/system.ts";

/** The path by which a set is opened. */
const SET_PATH = "/dev/fdset/";

/** A descriptor of a set. */
interface SetMember {
  readonly fd: Fd;
  /** Text that the passing program attached. */
  readonly opaque: string | undefined;
}

/** A set, as query-fdsets lists it. */
interface DescriptorSetInfo {
  readonly id: number;
  readonly fds: readonly { readonly fd: number; readonly opaque: string | undefined }[];
}

/** The passed descriptors. Owns them. */
export class PassedDescriptors implements Disposable {
  readonly #named = new Map<string, Fd>();
  /** In the order of their numbers. */
  readonly #sets = new Map<number, SetMember[]>();

  constructor(private readonly system: System) {}

  /** getfd: takes ownership of a descriptor; one that had the name before is closed. */
  name(name: string, fd: Fd): void {
    this.#named.get(name)?.close();
    this.#named.set(name, fd);
  }

  /** closefd. Returns false if no descriptor has the name. */
  closeNamed(name: string): boolean {
    this.#named.get(name)?.close();
    return this.#named.delete(name);
  }

  /** Returns a named descriptor, which belongs to the caller from then on; undefined if none has the name. */
  takeNamed(name: string): Fd | undefined {
    const fd = this.#named.get(name);
    this.#named.delete(name);
    return fd;
  }

  /** add-fd: takes ownership. @param id undefined: the first free number. Returns the number of the set. */
  addToSet(fd: Fd, id: number | undefined, opaque: string | undefined): number {
    let number = id ?? 0;
    while (id === undefined && this.#sets.has(number)) number += 1;
    const members = this.#sets.get(number) ?? [];
    members.push({ fd, opaque });
    this.#sets.set(number, members);
    return number;
  }

  /** remove-fd: closes one descriptor of a set, or all. Returns false if there is none. */
  removeFromSet(id: number, fd: number | undefined): boolean {
    const members = this.#sets.get(id) ?? [];
    const removed = members.filter((member) => fd === undefined || member.fd.number === fd);
    const kept = members.filter((member) => !removed.includes(member));
    for (const member of removed) member.fd.close();
    if (kept.length === 0) this.#sets.delete(id);
    else this.#sets.set(id, kept);
    return removed.length > 0;
  }

  /** Lists the sets. */
  sets(): readonly DescriptorSetInfo[] {
    return [...this.#sets].map(([id, members]) => ({
      id,
      fds: members.map(({ fd, opaque }) => ({ fd: fd.number, opaque })),
    }));
  }

  /**
   * Duplicates a descriptor of the set that a path names, with the access mode of `flags`; undefined for another path.
   * With O_TRUNC a regular file is truncated, as open(2) would do. Throws SyscallError.
   */
  openPath(path: string, flags: number): Fd | undefined {
    if (!path.startsWith(SET_PATH)) return undefined;
    const members = this.#sets.get(Number(path.slice(SET_PATH.length) || Number.NaN));
    if (members === undefined) throw new SyscallError("open", ERRNO.ENOENT, path);
    const wanted = flags & O_ACCMODE;
    const member = members.find(({ fd }) => (statusFlags(this.system, fd.number) & O_ACCMODE) === wanted);
    if (member === undefined) throw new SyscallError("open", ERRNO.EACCES, path);
    const fd = duplicateFd(this.system, member.fd.number);
    if ((flags & O_TRUNC) !== 0 && fdStatus(this.system, fd)?.kind === S_IFREG) {
      const emptied = this.system.libc.ftruncate(fd.number, 0);
      resultOrErrno(this.system, "ftruncate", emptied, () => `${fd.number}, 0`);
    }
    return fd;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#named.values()) fd.close();
    for (const members of this.#sets.values()) for (const { fd } of members) fd.close();
    this.#named.clear();
    this.#sets.clear();
  }
}
