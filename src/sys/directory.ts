/** Directory listings with getdents64(2). */

import { KERNEL_ARCHITECTURE } from "./architecture.ts";
import { Fd } from "./files.ts";
import { addressOf, cString } from "./libc.ts";
import { linuxDirent64 } from "./linux/dirent.ts";
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "./linux/fcntl.ts";
import { SYSCALLS } from "./linux/unistd.ts";
import { resultOrErrno, type System } from "./system.ts";
import { quoted } from "./trace.ts";

/** Returns the names in a directory in ascending order, without `.` and `..`; undefined if it cannot be listed. */
export function listDirectory(system: System, path: string): string[] | undefined {
  const name = cString(path);
  const number = system.libc.open(name, O_RDONLY | O_CLOEXEC | O_DIRECTORY[KERNEL_ARCHITECTURE], 0);
  const opened = resultOrErrno(system, "open", number, () => `${quoted(path)}, O_CLOEXEC|O_DIRECTORY`);
  if (opened < 0) return undefined;
  using fd = new Fd(system, number);
  const names = directoryNames(system, fd);
  return typeof names === "number" ? undefined : names.sort();
}

/**
 * Returns the names in an open directory, in the kernel's order, or the negative errno. The directory must be unread.
 */
export function directoryNames(system: System, directory: Fd): string[] | number {
  const buffer = new Uint8Array(32 * 1024);
  const names: string[] = [];
  for (;;) {
    const nr = SYSCALLS.getdents64[KERNEL_ARCHITECTURE];
    const result = Number(system.libc.syscall(nr, directory.number, addressOf(buffer), buffer.length, 0, 0));
    const got = resultOrErrno(system, "getdents64", result, () => `${directory.number}, …, ${buffer.length}`);
    if (got < 0) return got;
    if (got === 0) return names;
    names.push(...namesIn(buffer.subarray(0, got)));
  }
}

function namesIn(records: Uint8Array): string[] {
  const view = new DataView(records.buffer, records.byteOffset, records.length);
  const names: string[] = [];
  for (let at = 0; at + linuxDirent64.size < records.length; ) {
    const length = view.getUint16(at + linuxDirent64.offsets.d_reclen, true);
    if (length === 0) break;
    const bytes = records.subarray(at + linuxDirent64.size, at + length);
    const text = new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
    if (text !== "." && text !== "..") names.push(text);
    at += length;
  }
  return names;
}
