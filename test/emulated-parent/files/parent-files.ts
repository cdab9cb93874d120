/** Answers opens, stats, listings and writes of the emulated tree. */
import { Buffer } from "node:buffer";
import type { Driver } from "../driver/driver.ts";
import type { PageMaps } from "../memory/page-map.ts";
import type { Notification } from "../notification.ts";
import { answerStatus, type PathStatus, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG } from "../path-status.ts";
import { E } from "../sys/errno.ts";
import { closeFd, identityOf, makeMemfd, openFile, writeAt } from "../sys/files.ts";
import { NR, O } from "../sys/kernel.ts";
import { identityOfDescriptor } from "../sys/processes.ts";
import type { Instance } from "../topology/instance.ts";
import { addCgroupFiles } from "./cgroup-files.ts";
import { addControlFile } from "./control-file.ts";
import { addCpuFiles } from "./cpu-files.ts";
import { DirectoryCopies } from "./directory-copies.ts";
import { addDriverFiles, DEVICE_PATH } from "./driver-files.ts";
import { addHugePageFiles } from "./huge-page-files.ts";
import { addNodeFiles } from "./node-files.ts";
import {
  accessOf,
  CAP_SYS_ADMIN,
  chmodRefusal,
  chownRefusal,
  hasCapability,
  type Owner,
  refusalOf,
} from "./permission.ts";
import { addSystemFiles } from "./system-files.ts";
import { type Caller, type FileNode, type Found, Tree } from "./tree.ts";

/** The driver's name for an enclave's descriptor (anon_inode_getfile in ne_misc_dev.c). */
const ENCLAVE_LINK = "anon_inode:ne-vm";
const mostWritten = 4096; // fs/kernfs/file.c: a write of more than a page is truncated

/** The tree of one parent instance, and the calls about it. */
export class ParentFiles {
  readonly tree = new Tree();
  readonly copies = new DirectoryCopies(this.tree);
  /** Files that are open for writing, by the identity of their stand-ins. */
  private readonly written = new Map<string, { path: string; node: FileNode }>();
  private readonly standIns = new Map<string, number>();

  constructor(
    private readonly instance: Instance,
    private readonly driver: Driver,
    private readonly pageMaps: PageMaps | undefined,
  ) {
    const { tree } = this;
    addCpuFiles(tree, instance);
    addNodeFiles(tree, instance);
    addHugePageFiles(tree, instance);
    addDriverFiles(tree, instance, (text, pid) => driver.writePool(text, pid));
    addControlFile(tree, instance, driver);
    addCgroupFiles(tree, instance);
    addSystemFiles(tree, instance);
    tree.file("/proc/*/pagemap", () => "", 0o444);
    for (const [path, text] of Object.entries(instance.scenario.files)) tree.file(path, () => text);
  }

  /** Finds what is at a path, including files of the machine. */
  find(path: string, request: Notification, follow = true): Found {
    return this.tree.find(path, request, follow);
  }

  /** Answers the open of an emulated file; the caller handles devices and other types. */
  open(request: Notification, found: Found, flags: number): void {
    const closeOnExec = (flags & O.CLOEXEC) !== 0;
    if (found.kind === "absent") return request.fail((flags & O.CREAT) !== 0 ? E.EACCES : E.ENOENT);
    if (found.kind === "directory") {
      if ((flags & O.ACCMODE) !== 0) return request.fail(E.EISDIR);
      return this.handOverFd(request, this.copies.open(found.path), closeOnExec);
    }
    if (found.kind === "foreign") return request.proceed();
    const { node, path } = found;
    if ((flags & O.DIRECTORY) === O.DIRECTORY) return request.fail(E.ENOTDIR);
    if (node.kind === "link") return request.fail(E.ELOOP); // only an open that does not follow links gets here
    const refusal = refusalOf(ownerOf(found), request.pid, accessOf(flags));
    if (refusal !== 0) return request.fail(refusal);
    if (node.kind === "device") {
      const isDriver = path === DEVICE_PATH;
      request.replyWithFd(isDriver ? this.driver.deviceFd : this.standIn(path), closeOnExec);
      return;
    }
    const process = /^\/proc\/(\d+)\/pagemap$/.exec(path)?.[1];
    if (process !== undefined) return this.openPageMap(request, Number(process), flags);
    const text = Buffer.from(node.read(request, path) ?? "", "latin1");
    if ((flags & O.ACCMODE) === 0) return this.handOverFd(request, makeMemfd("emulated", text), closeOnExec);
    if ((node.mode & 0o222) === 0 || node.write === undefined) return request.fail(E.EACCES);
    this.openForWriting(request, path, node, text, closeOnExec);
  }

  private openPageMap(request: Notification, pid: number, flags: number): void {
    const isOwn = pid === request.pid || hasCapability(request.pid, CAP_SYS_ADMIN);
    if (!isOwn || this.pageMaps === undefined) return request.fail(E.EACCES);
    this.pageMaps.install(request, pid, flags);
  }

  private handOverFd(request: Notification, fd: number, closeOnExec: boolean): void {
    if (fd < 0) return request.fail(-fd);
    request.replyWithFd(fd, closeOnExec);
    closeFd(fd);
  }

  /** Creates a stand-in for a path. It stays open during the run, so that its identity is never reused. */
  private standIn(path: string): number {
    const known = this.standIns.get(path);
    if (known !== undefined) return known;
    const fd = makeMemfd("emulated", new Uint8Array());
    this.standIns.set(path, fd);
    return fd;
  }

  private openForWriting(
    request: Notification,
    path: string,
    node: FileNode,
    text: Uint8Array,
    closeOnExec: boolean,
  ): void {
    const standIn = this.standIn(path);
    this.written.set(identityOf("", standIn) ?? "", { path, node });
    const fd = openFile(`/proc/self/fd/${standIn}`, O.RDWR | O.TRUNC);
    if (fd >= 0 && text.length > 0) writeAt(fd, text, 0);
    this.handOverFd(request, fd, closeOnExec);
  }

  /** Returns whether a descriptor is an emulated device. */
  isOpen(request: Notification, descriptor: number, path: string): boolean {
    const standIn = this.standIns.get(path);
    return standIn !== undefined && identityOf("", standIn) === identityOfDescriptor(request.tid, descriptor);
  }

  /** Returns the path of the emulated file that a call's first argument is open for writing of. */
  writtenPath(request: Notification): string | undefined {
    return this.writtenFile(request, request.i32(0))?.path;
  }

  /** Returns whether a descriptor is open for writing of an emulated file. */
  isWritten(request: Notification, descriptor: number): boolean {
    return this.writtenFile(request, descriptor) !== undefined;
  }

  private writtenFile(
    request: Notification,
    descriptor: number,
  ): { path: string; node: FileNode } | undefined {
    if (this.written.size === 0) return undefined;
    return this.written.get(identityOfDescriptor(request.tid, descriptor) ?? "");
  }

  /** write and similar calls on such a descriptor: the whole data is one setting. */
  write(request: Notification): void {
    const open = this.writtenFile(request, request.i32(0));
    if (open === undefined) return request.proceed();
    const bytes = request.nr === NR.writev ? gather(request) : contiguous(request);
    if (bytes === undefined) return request.fail(E.EFAULT);
    if (bytes.length === 0) return request.reply(0);
    const errno = open.node.write?.(bytes.toString("latin1"), request) ?? E.EINVAL;
    if (errno === 0) request.reply(bytes.length);
    else request.fail(errno);
  }

  /** stat, access and similar calls. */
  status(request: Notification, found: Found): void {
    if (found.kind === "foreign") return request.proceed();
    answerStatus(request, this.statusOf(found, request), (bits) => {
      const owner = found.kind === "directory" ? { mode: 0o755, uid: 0, gid: 0 } : ownerOf(found);
      // A file in sysfs without write permission cannot be written by root either (fs/kernfs/file.c), but access(2)
      // permits it.
      return refusalOf(owner, request.pid, bits);
    });
  }

  private statusOf(found: Found, caller: Caller): PathStatus | undefined {
    if (found.kind === "absent" || found.kind === "foreign") return undefined;
    if (found.kind === "directory") {
      const { device, inode } = this.copies.identity(found.path);
      return { mode: S_IFDIR | 0o755, uid: 0, gid: 0, bytes: 0, device: [0, 0], place: [device, inode] };
    }
    const { node, path } = found;
    const place: [number, number] = [0x16, Bun.hash.crc32(path)];
    const { mode, uid, gid } = ownerOf(found);
    if (node.kind === "device")
      return { mode: S_IFCHR | mode, uid, gid, bytes: 0, device: node.number, place };
    if (node.kind === "link") {
      const bytes = node.target()?.length ?? 0;
      return { mode: S_IFLNK | 0o777, uid: 0, gid: 0, bytes, device: [0, 0], place };
    }
    // sysfs reports one page for every file, procfs and cgroups report 0.
    let bytes = path.startsWith("/sys/") && !path.startsWith("/sys/fs/cgroup/") ? 4096 : 0;
    if (path.startsWith("/etc/")) bytes = node.read(caller)?.length ?? 0;
    return { mode: S_IFREG | mode, uid, gid, bytes, device: [0, 0], place };
  }

  /** readlink and readlinkat. */
  readLink(request: Notification, found: Found): void {
    if (found.kind === "foreign") return request.proceed();
    if (found.kind === "absent") return request.fail(E.ENOENT);
    if (found.kind === "directory" || found.node.kind !== "link") return request.fail(E.EINVAL);
    tellLink(request, found.node.target() ?? "");
  }

  /** Answers the link of an enclave's descriptor in /proc, which is another file here. Returns whether it was one. */
  readEnclaveLink(request: Notification, path: string): boolean {
    const pid = /^\/proc\/(\d+)\/fd\/\d+$/.exec(path)?.[1];
    // The supervisor has the other ends of these pipes.
    if (this.driver.slotsLeft === 0 || pid === undefined || Number(pid) === process.pid) return false;
    if (this.driver.slotOf(identityOf(path) ?? "") === undefined) return false;
    tellLink(request, ENCLAVE_LINK);
    return true;
  }

  /** chmod and similar calls: only the device's permissions can be changed. */
  changeMode(request: Notification, found: Found, mode: number): void {
    if (found.kind === "foreign") return request.proceed();
    if (found.kind === "absent") return request.fail(E.ENOENT);
    if (found.path !== DEVICE_PATH) return request.fail(E.EPERM);
    const refusal = chmodRefusal(ownerOf(found), request.pid);
    if (refusal !== 0) return request.fail(refusal);
    this.instance.deviceMode = mode & 0o7777;
    request.reply(0);
  }

  /** chown and similar calls: only the device's owner can be changed. */
  changeOwner(request: Notification, found: Found, uid: number, gid: number): void {
    if (found.kind === "foreign") return request.proceed();
    if (found.kind === "absent") return request.fail(E.ENOENT);
    if (found.path !== DEVICE_PATH) return request.fail(E.EPERM);
    const refusal = chownRefusal(ownerOf(found), request.pid, uid, gid);
    if (refusal !== 0) return request.fail(refusal);
    if (uid !== -1) this.instance.deviceUid = uid;
    if (gid !== -1) this.instance.deviceGid = gid;
    request.reply(0);
  }
}

function tellLink(request: Notification, target: string): void {
  const first = request.nr === NR.readlinkat ? 2 : 1;
  const bytes = Buffer.from(target).subarray(0, request.u32(first + 1));
  if (request.write(request.wide(first), bytes)) request.reply(bytes.length);
  else request.fail(E.EFAULT);
}

function ownerOf(found: Found): Owner {
  if (found.kind !== "node") return { mode: 0o755, uid: 0, gid: 0 };
  const { node } = found;
  return node.kind === "device"
    ? node.owner()
    : { mode: node.kind === "file" ? node.mode : 0o777, uid: 0, gid: 0 };
}

/** Returns the bytes of a write or pwrite. */
function contiguous(request: Notification): Buffer | undefined {
  const length = Math.min(request.wide(2), mostWritten);
  const view = request.read(request.wide(1), length);
  return view === undefined ? undefined : Buffer.from(view.buffer, 0, length);
}

/** Returns the bytes of a writev: struct iovec (linux/uio.h) has a base and a length. */
function gather(request: Notification): Buffer | undefined {
  const count = Math.min(request.u32(2), 64);
  const vectors = request.read(request.wide(1), 16 * count);
  if (vectors === undefined) return undefined;
  const parts: Buffer[] = [];
  for (let at = 0; at < 16 * count; at += 16) {
    const length = Math.min(Number(vectors.getBigUint64(at + 8, true)), mostWritten);
    if (length === 0) continue;
    const view = request.read(Number(vectors.getBigUint64(at, true)), length);
    if (view === undefined) return undefined;
    parts.push(Buffer.from(view.buffer, 0, length));
  }
  return Buffer.concat(parts).subarray(0, mostWritten);
}
