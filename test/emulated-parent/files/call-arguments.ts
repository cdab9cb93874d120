/** The positions of path, directory and flags in the arguments of calls about files. */
import { AT_SYMLINK_NOFOLLOW, NR, O } from "../sys/kernel.ts";

/** Positions in a call's arguments; `directory` is missing if a path is relative to the working directory. */
export interface Place {
  directory?: number;
  path: number;
  /** The flags that decide whether a link at the end is followed, and the bit that prevents it. */
  noFollow?: { argument: number; bit: number } | true;
}

/** The calls that name a path. */
export const places = new Map<number, Place>([
  [NR.open, { path: 0, noFollow: { argument: 1, bit: O.NOFOLLOW } }],
  [NR.openat, { directory: 0, path: 1, noFollow: { argument: 2, bit: O.NOFOLLOW } }],
  [NR.stat, { path: 0 }],
  [NR.lstat, { path: 0, noFollow: true }],
  [NR.newfstatat, { directory: 0, path: 1, noFollow: { argument: 3, bit: AT_SYMLINK_NOFOLLOW } }],
  [NR.statx, { directory: 0, path: 1, noFollow: { argument: 2, bit: AT_SYMLINK_NOFOLLOW } }],
  [NR.access, { path: 0 }],
  [NR.faccessat, { directory: 0, path: 1 }],
  [NR.faccessat2, { directory: 0, path: 1, noFollow: { argument: 3, bit: AT_SYMLINK_NOFOLLOW } }],
  [NR.getxattr, { path: 0 }],
  [NR.lgetxattr, { path: 0, noFollow: true }],
  [NR.listxattr, { path: 0 }],
  [NR.llistxattr, { path: 0, noFollow: true }],
  [NR.readlink, { path: 0, noFollow: true }],
  [NR.readlinkat, { directory: 0, path: 1, noFollow: true }],
  [NR.chmod, { path: 0 }],
  [NR.fchmodat, { directory: 0, path: 1 }],
  [NR.fchmodat2, { directory: 0, path: 1 }],
  [NR.chown, { path: 0 }],
  [NR.lchown, { path: 0 }],
  [NR.fchownat, { directory: 0, path: 1 }],
]);

/** The position of the mode, or of the user id, which the group id follows. */
export const changes = new Map<number, number>([
  [NR.chmod, 1],
  [NR.fchmodat, 2],
  [NR.fchmodat2, 2],
  [NR.chown, 1],
  [NR.lchown, 1],
  [NR.fchownat, 2],
]);
/** Calls that change permissions. */
export const modeCalls: number[] = [NR.chmod, NR.fchmodat, NR.fchmodat2];
/** Calls that read a link. */
export const linkCalls: number[] = [NR.readlink, NR.readlinkat];
/** Calls that read extended attributes. */
export const attributeCalls: number[] = [NR.getxattr, NR.lgetxattr, NR.listxattr, NR.llistxattr];
/** Calls that write. */
export const writeCalls: number[] = [NR.write, NR.pwrite64, NR.writev];

/** Calls that are trapped in addition to opens and stats if there is a topology. */
export const treeCalls: readonly number[] = [...changes.keys(), ...linkCalls, ...attributeCalls, NR.uname];
