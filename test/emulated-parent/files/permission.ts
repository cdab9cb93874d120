/** File permissions, checked with a process's real credentials. */
import { E } from "../sys/errno.ts";
import { O } from "../sys/kernel.ts";
import { processStatus } from "../sys/processes.ts";

/** A file's owner and permission bits. */
export interface Owner {
  mode: number;
  uid: number;
  gid: number;
}

/** linux/capability.h: bypasses permissions. */
const CAP_DAC_OVERRIDE = 1;
/** linux/capability.h: changes other users' files. */
const CAP_FOWNER = 3;
/** linux/capability.h: changes owners. */
const CAP_CHOWN = 0;
/** linux/capability.h: administers the system. */
export const CAP_SYS_ADMIN = 21;

/** Whether a process has a capability in effect. */
export function hasCapability(pid: number, capability: number): boolean {
  const effective = BigInt(`0x${processStatus(pid).get("CapEff") ?? "0"}`);
  return (effective & (1n << BigInt(capability))) !== 0n;
}

/** Returns the user and the groups with which file permissions are checked. */
function identity(pid: number): { uid: number; groups: number[] } {
  const fields = processStatus(pid);
  // The fourth number is the file system uid (proc(5)).
  const uid = Number(fields.get("Uid")?.split(/\s+/)[3] ?? 0);
  const gid = Number(fields.get("Gid")?.split(/\s+/)[3] ?? 0);
  const groups = (fields.get("Groups") ?? "").split(/\s+/).filter(Boolean).map(Number);
  return { uid, groups: [gid, ...groups] };
}

/** Returns the access (4 read, 2 write) that an open with these flags needs. */
export function accessOf(flags: number): number {
  const access = flags & O.ACCMODE;
  return (access === 1 ? 0 : 4) | (access === 0 ? 0 : 2);
}

/** Returns the errno if a process may not access a file in this way (4 read, 2 write, 1 execute); 0 if it may. */
export function refusalOf({ mode, uid, gid }: Owner, pid: number, needed: number): number {
  if (hasCapability(pid, CAP_DAC_OVERRIDE)) return 0;
  const caller = identity(pid);
  let allowed = mode & 7;
  if (caller.uid === uid) allowed = (mode >> 6) & 7;
  else if (caller.groups.includes(gid)) allowed = (mode >> 3) & 7;
  return (allowed & needed) === needed ? 0 : E.EACCES;
}

/** Returns the errno if a process may not change a file's permissions; 0 if it may. */
export function chmodRefusal(owner: Owner, pid: number): number {
  return identity(pid).uid === owner.uid || hasCapability(pid, CAP_FOWNER) ? 0 : E.EPERM;
}

/** Returns the errno of a chown (-1: unchanged); 0 if it is permitted. */
export function chownRefusal(owner: Owner, pid: number, uid: number, gid: number): number {
  if (hasCapability(pid, CAP_CHOWN)) return 0;
  const caller = identity(pid);
  const own = caller.uid === owner.uid && (uid === -1 || uid === owner.uid);
  return own && (gid === -1 || caller.groups.includes(gid)) ? 0 : E.EPERM;
}
