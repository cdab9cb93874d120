/**
 * The calls about files of a described instance: whether they concern the emulated tree, and which part answers them.
 */
import { posix } from "node:path";
import type { Notification } from "../notification.ts";
import { pathCalls } from "../path-status.ts";
import { E } from "../sys/errno.ts";
import { AT_FDCWD, CID, GET_LOCAL_CID, NR } from "../sys/kernel.ts";
import { fixedBytes } from "../sys/libc.ts";
import { readText } from "../sys/processes.ts";
import type { Instance } from "../topology/instance.ts";
import {
  attributeCalls,
  changes,
  linkCalls,
  modeCalls,
  type Place,
  places,
  writeCalls,
} from "./call-arguments.ts";
import { directoryOf } from "./directory-copies.ts";
import { VSOCK_PATH } from "./driver-files.ts";
import type { ParentFiles } from "./parent-files.ts";
import { KERNEL_BUILD } from "./system-files.ts";
import type { Found } from "./tree.ts";

/** Answers the calls about files of a parent instance that has a topology. */
export class FileCalls {
  constructor(
    private readonly files: ParentFiles,
    private readonly instance: Instance,
  ) {}

  /** The absolute path that a call is about; undefined for calls that name none. */
  subjectOf(request: Notification): string | undefined {
    const place = places.get(request.nr);
    if (place === undefined) return this.files.writtenPath(request);
    const text = readText(request.tid, request.wide(place.path)) ?? "";
    if (text === "" || text.startsWith("/")) return text;
    const directory = place.directory === undefined ? AT_FDCWD : request.i32(place.directory);
    const base = directoryOf(request.tid, directory === AT_FDCWD ? undefined : directory);
    return base === undefined ? text : posix.join(this.files.copies.pathOf(base), text);
  }

  /**
   * Answers a call. Returns the details for the trace; undefined if it has nothing to do with the emulation; null if
   * another part answers it.
   */
  serve(request: Notification, subject: string): Record<string, unknown> | undefined | null {
    const { nr } = request;
    if (nr === NR.uname) return this.uname(request);
    if (writeCalls.includes(nr)) {
      this.files.write(request);
      return subject === "" ? undefined : { path: subject };
    }
    if (nr === NR.ioctl && request.u32(1) === GET_LOCAL_CID) return this.localCid(request);
    if (nr === NR.sendfile || nr === NR.copy_file_range) return this.copy(request);
    const place = places.get(nr);
    if (place === undefined) return null;
    return subject === "" ? this.pass(request) : this.path(request, place, subject);
  }

  private path(request: Notification, place: Place, subject: string): Record<string, unknown> | undefined {
    const { nr } = request;
    const { noFollow } = place;
    const stays =
      noFollow === true || (noFollow !== undefined && (request.u32(noFollow.argument) & noFollow.bit) !== 0);
    const found = this.files.find(subject, request, !stays);
    if (found.kind === "foreign") {
      const isEnclave = linkCalls.includes(nr) && this.files.readEnclaveLink(request, found.path);
      return isEnclave ? { path: found.path } : this.pass(request);
    }
    const change = changes.get(nr);
    if (pathCalls.includes(nr)) this.files.status(request, found);
    else if (linkCalls.includes(nr)) this.files.readLink(request, found);
    else if (attributeCalls.includes(nr)) attribute(request, found);
    else if (change === undefined) this.files.open(request, found, request.u32(nr === NR.open ? 1 : 2));
    else if (modeCalls.includes(nr)) this.files.changeMode(request, found, request.u32(change));
    else this.files.changeOwner(request, found, request.i32(change), request.i32(change + 1));
    return { path: found.path };
  }

  /** IOCTL_VM_SOCKETS_GET_LOCAL_CID of /dev/vsock; without a transport there is no CID, or only the loopback's. */
  private localCid(request: Notification): Record<string, unknown> | undefined {
    if (!this.files.isOpen(request, request.i32(0), VSOCK_PATH)) return this.pass(request);
    const cell = fixedBytes(4);
    const loopback = this.instance.modules.has("vsock_loopback") ? CID.LOCAL : CID.ANY;
    const cid = this.instance.hasTransport ? CID.PARENT : loopback;
    new DataView(cell.buffer).setUint32(0, cid, true);
    if (request.write(request.wide(2), cell)) request.reply(0);
    else request.fail(E.EFAULT);
    return { cid };
  }

  private pass(request: Notification): undefined {
    request.proceed();
  }

  /** Refuses to copy data between files in the kernel, so that programs use write(2). */
  private copy(request: Notification): undefined {
    const target = request.nr === NR.sendfile ? 0 : 2;
    if (this.files.isWritten(request, request.i32(target))) request.fail(E.EINVAL);
    else request.proceed();
  }

  /** struct new_utsname (linux/utsname.h): six fields of 65 bytes. */
  private uname(request: Notification): Record<string, unknown> {
    const bytes = fixedBytes(6 * 65);
    const texts = [
      "Linux",
      "ip-10-0-0-1",
      this.instance.kernel,
      KERNEL_BUILD,
      this.instance.topology.arch,
      "(none)",
    ];
    texts.forEach((text, index) => {
      bytes.set(new TextEncoder().encode(text).subarray(0, 64), 65 * index);
    });
    if (request.write(request.wide(0), bytes)) request.reply(0);
    else request.fail(E.EFAULT);
    return { machine: this.instance.topology.arch };
  }
}

/** Extended attributes: there are none. */
function attribute(request: Notification, found: Found): void {
  if (found.kind === "absent") request.fail(E.ENOENT);
  else if (request.nr === NR.listxattr || request.nr === NR.llistxattr) request.reply(0);
  else request.fail(E.ENODATA);
}
