/** stat, statx and access of emulated paths, consistent with what an open of the path returns. */

import type { Notification } from "./notification.ts";
import { E } from "./sys/errno.ts";
import { NR } from "./sys/kernel.ts";
import { fixedBytes } from "./sys/libc.ts";

/** The status of a path. */
export interface PathStatus {
  /** Type and permission bits. */
  mode: number;
  uid: number;
  gid: number;
  bytes: number;
  /** Major and minor number of a device. */
  device: [major: number, minor: number];
  /** The file system's device and the file's inode, if programs may compare them. */
  place?: [device: number, inode: number];
}

/** linux/stat.h: a character device. */
export const S_IFCHR = 0o020000;
/** linux/stat.h: a directory. */
export const S_IFDIR = 0o040000;
/** linux/stat.h: a symbolic link. */
export const S_IFLNK = 0o120000;
/** linux/stat.h: an ordinary file. */
export const S_IFREG = 0o100000;

/** Calls that return the status of a path, with the positions of path, flags and result among the arguments. */
const places = new Map<number, { path: number; result: number; kind: "stat" | "statx" | "access" }>([
  [NR.stat, { path: 0, result: 1, kind: "stat" }],
  [NR.lstat, { path: 0, result: 1, kind: "stat" }],
  [NR.newfstatat, { path: 1, result: 2, kind: "stat" }],
  [NR.statx, { path: 1, result: 4, kind: "statx" }],
  [NR.access, { path: 0, result: 1, kind: "access" }],
  [NR.faccessat, { path: 1, result: 2, kind: "access" }],
  [NR.faccessat2, { path: 1, result: 2, kind: "access" }],
]);

/** The numbers of these calls. */
export const pathCalls = [...places.keys()];

/** Returns the position of a call's path among its arguments. */
export function pathArgument(nr: number): number | undefined {
  return places.get(nr)?.path;
}

/** struct stat (asm/stat.h of x86). */
function statRecord(status: PathStatus): Uint8Array<ArrayBuffer> {
  const bytes = fixedBytes(144);
  const view = new DataView(bytes.buffer);
  const [device, inode] = status.place ?? [0, 1];
  view.setBigUint64(0, BigInt(device), true);
  view.setBigUint64(8, BigInt(inode), true);
  view.setBigUint64(16, 1n, true);
  view.setUint32(24, status.mode, true);
  view.setUint32(28, status.uid, true);
  view.setUint32(32, status.gid, true);
  view.setBigUint64(40, BigInt((status.device[0] << 8) | status.device[1]), true);
  view.setBigUint64(48, BigInt(status.bytes), true);
  view.setBigUint64(56, 4096n, true);
  return bytes;
}

/** struct statx (linux/stat.h). */
function statxRecord(status: PathStatus): Uint8Array<ArrayBuffer> {
  const STATX_BASIC_STATS = 0x7ff;
  const bytes = fixedBytes(256);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, STATX_BASIC_STATS, true);
  view.setUint32(4, 4096, true);
  view.setUint32(16, 1, true);
  view.setUint32(20, status.uid, true);
  view.setUint32(24, status.gid, true);
  view.setUint16(28, status.mode, true);
  const [device, inode] = status.place ?? [0, 1];
  view.setBigUint64(32, BigInt(inode), true);
  view.setBigUint64(40, BigInt(status.bytes), true);
  view.setUint32(128, status.device[0], true);
  view.setUint32(132, status.device[1], true);
  // linux/kdev_t.h: new_encode_dev puts the lowest byte of the minor number below the major one, the rest above.
  view.setUint32(136, (device >>> 8) & 0xfff, true);
  view.setUint32(140, (device & 0xff) | ((device >>> 12) & 0xfff00), true);
  return bytes;
}

/**
 * Answers for an emulated path. @param refusal returns the errno for an access with these bits (4 read, 2 write, 1
 * execute).
 */
export function answerStatus(
  request: Notification,
  status: PathStatus | undefined,
  refusal: (bits: number) => number,
): void {
  const place = places.get(request.nr);
  if (place === undefined) return request.proceed();
  if (status === undefined) return request.fail(E.ENOENT);
  if (place.kind === "access") {
    const errno = refusal(request.u32(place.result));
    return errno === 0 ? request.reply(0) : request.fail(errno);
  }
  const record = place.kind === "stat" ? statRecord(status) : statxRecord(status);
  if (request.write(request.wide(place.result), record)) request.reply(0);
  else request.fail(E.EFAULT);
}
